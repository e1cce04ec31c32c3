#include "shared_segment.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace shotstream {
namespace {

[[noreturn]] void fail(const std::string& what, int code = errno) {
    throw std::system_error(code, std::generic_category(), what);
}

// Closes the descriptor unless it was handed on.
struct File {
    int number;
    explicit File(int n) : number(n) {}
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (number >= 0) ::close(number);
    }
    int release() { return std::exchange(number, -1); }
};

int lock(int file, int operation) {
    int result;
    do result = ::flock(file, operation);
    while (result != 0 && errno == EINTR);
    return result;
}

void* map(int file, std::uint64_t size, int protection, const std::string& name) {
    void* data = ::mmap(nullptr, size, protection, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) fail("cannot map " + name);
    return data;
}

}  // namespace

SharedSegment SharedSegment::create(const std::string& name, std::uint64_t size) {
    File file(::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (file.number < 0) fail("cannot create " + name);
    try {
        // Waits only for a process that looks whether the segment is abandoned, which is a matter of microseconds.
        if (lock(file.number, LOCK_EX) != 0) fail("cannot lock " + name);
        if (::fchmod(file.number, 0600) != 0) fail("cannot set the mode of " + name);
        const int full = ::posix_fallocate(file.number, 0, static_cast<off_t>(size));
        if (full != 0) fail("cannot reserve " + std::to_string(size) + " bytes for " + name, full);
        void* data = map(file.number, size, PROT_READ | PROT_WRITE, name);
        return SharedSegment(file.release(), data, size);
    } catch (...) {
        unlink_segment(name);
        throw;
    }
}

SharedSegment SharedSegment::open(const std::string& name, std::uint64_t max_size) {
    File file(::shm_open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0));
    if (file.number < 0) fail("cannot open " + name);
    struct stat found;
    if (::fstat(file.number, &found) != 0) fail("cannot look at " + name);
    if (!S_ISREG(found.st_mode)) throw std::invalid_argument("not a shared memory segment");
    if (found.st_uid != ::geteuid()) throw std::invalid_argument("belongs to another user");
    if (found.st_mode & 0077) throw std::invalid_argument("other users may open it; its mode must be 0600");
    if (found.st_size <= 0 || static_cast<std::uint64_t>(found.st_size) > max_size)
        throw std::invalid_argument("has a size of " + std::to_string(found.st_size) + " bytes; expected 1.." +
                                    std::to_string(max_size));
    const auto size = static_cast<std::uint64_t>(found.st_size);
    void* data = map(file.number, size, PROT_READ, name);
    return SharedSegment(file.release(), data, size);
}

SharedSegment::SharedSegment(SharedSegment&& other) noexcept
    : file_(std::exchange(other.file_, -1)), data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}

SharedSegment::~SharedSegment() {
    if (data_ != nullptr) ::munmap(data_, size_);
    if (file_ >= 0) ::close(file_);
}

bool SharedSegment::is_owner_alive() const {
    if (lock(file_, LOCK_SH | LOCK_NB) != 0) return true;
    lock(file_, LOCK_UN);
    return false;
}

void unlink_segment(const std::string& name) noexcept { ::shm_unlink(name.c_str()); }

bool remove_if_abandoned(const std::string& name, std::int64_t owner_pid) {
    const File file(::shm_open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0));
    struct stat found;
    if (file.number < 0 || ::fstat(file.number, &found) != 0 || found.st_uid != ::geteuid()) return false;
    if (lock(file.number, LOCK_EX | LOCK_NB) != 0) return false;
    std::uint64_t first = 0;
    const bool begun = ::pread(file.number, &first, sizeof(first), 0) == sizeof(first) && first != 0;
    const bool no_process = ::kill(static_cast<pid_t>(owner_pid), 0) != 0 && errno == ESRCH;
    if (!begun && !no_process) return false;
    return ::shm_unlink(name.c_str()) == 0;
}

}  // namespace shotstream
