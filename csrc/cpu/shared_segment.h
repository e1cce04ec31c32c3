// A named piece of POSIX shared memory. The operating system's part of the frame ring; Linux.
#pragma once

#include <cstdint>
#include <string>

namespace shotstream {

// The owner holds an exclusive lock on the segment for as long as it lives: the kernel drops it however the process
// ends, so "is the owner alive" needs no guess about process ids. Throws std::system_error with errno, and
// std::invalid_argument for a segment that is not to be trusted.
class SharedSegment {
public:
    // A new, zeroed, locked segment, readable and writable by this user only. Its memory is reserved at once, so a full
    // /dev/shm shows here and not as a crash when frames are written.
    static SharedSegment create(const std::string& name, std::uint64_t size);
    // Read-only. Refused unless it belongs to this user, no one else may open it, and it has at most max_size bytes.
    static SharedSegment open(const std::string& name, std::uint64_t max_size);

    SharedSegment(SharedSegment&& other) noexcept;
    SharedSegment(const SharedSegment&) = delete;
    SharedSegment& operator=(const SharedSegment&) = delete;
    SharedSegment& operator=(SharedSegment&&) = delete;
    ~SharedSegment();

    void* data() const { return data_; }
    std::uint64_t size() const { return size_; }
    bool is_owner_alive() const;  // for a segment opened read-only

private:
    SharedSegment(int file, void* data, std::uint64_t size) : file_(file), data_(data), size_(size) {}

    int file_;
    void* data_;
    std::uint64_t size_;
};

void unlink_segment(const std::string& name) noexcept;

// Unlinks a segment of this user whose owner is gone, and says whether it did. One that starts with zero bytes may be
// in the making before its lock is taken: it goes only when no process has the id either.
bool remove_if_abandoned(const std::string& name, std::int64_t owner_pid);

}  // namespace shotstream
