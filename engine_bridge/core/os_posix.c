#define _GNU_SOURCE /* O_NOFOLLOW and a monotonic clock for conditions beside -std=c99 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int64_t os_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint32_t os_process_id(void) { return (uint32_t)getpid(); }

uint32_t os_random(void) {
    uint64_t seed = (uint64_t)os_now_ns() * 6364136223846793005u + os_process_id();
    return (uint32_t)(seed ^ seed >> 33);
}

bool os_mutex_init(os_mutex *mutex) { return pthread_mutex_init(mutex, NULL) == 0; }
void os_mutex_free(os_mutex *mutex) { pthread_mutex_destroy(mutex); }
void os_lock(os_mutex *mutex) { pthread_mutex_lock(mutex); }
void os_unlock(os_mutex *mutex) { pthread_mutex_unlock(mutex); }

bool os_cond_init(os_cond *cond) {
    pthread_condattr_t attributes;
    bool made;
    if (pthread_condattr_init(&attributes) != 0) return false;
    made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 && pthread_cond_init(cond, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return made;
}

void os_cond_free(os_cond *cond) { pthread_cond_destroy(cond); }
void os_broadcast(os_cond *cond) { pthread_cond_broadcast(cond); }

void os_wait(os_cond *cond, os_mutex *mutex, int64_t deadline_ns) {
    struct timespec deadline;
    deadline.tv_sec = (time_t)(deadline_ns / 1000000000);
    deadline.tv_nsec = (long)(deadline_ns % 1000000000);
    pthread_cond_timedwait(cond, mutex, &deadline);
}

typedef struct start {
    void (*run)(void *);
    void *argument;
} start;

static void *begin(void *given) {
    start own = *(start *)given;
    free(given);
    own.run(own.argument);
    return NULL;
}

bool os_thread_start(os_thread *thread, void (*run)(void *), void *argument) {
    sigset_t all, before;
    bool started;
    start *given = malloc(sizeof *given);
    if (given == NULL) return false;
    given->run = run;
    given->argument = argument;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(thread, NULL, begin, given) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started) free(given);
    return started;
}

void os_thread_join(os_thread thread) { pthread_join(thread, NULL); }

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

bool os_runtime_folder(char *folder, size_t size, char *why, size_t why_size) {
    static const char *const temporary[] = {"TMPDIR", "TEMP", "TMP"};
    const char *given = variable("SHOTSTREAM_RUNTIME"), *base = variable("XDG_RUNTIME_DIR");
    struct stat found;
    int length;
    size_t i;
    if (given != NULL) {
        length = snprintf(folder, size, "%s", given);
    } else if (base != NULL) {
        length = snprintf(folder, size, "%s/shotstream", base);
    } else {
        for (i = 0, base = NULL; i < 3 && base == NULL; i++) base = variable(temporary[i]);
        length = snprintf(folder, size, "%s/shotstream-%u", base != NULL ? base : "/tmp", (unsigned)getuid());
    }
    if (length < 0 || (size_t)length >= size) {
        snprintf(why, why_size, "the path of the runtime folder is too long; set SHOTSTREAM_RUNTIME to another");
        return false;
    }
    if (lstat(folder, &found) != 0) {
        snprintf(why, why_size, "there is no runtime folder %.120s; start 'shotstream serve'", folder);
        return false;
    }
    if (!S_ISDIR(found.st_mode) || found.st_uid != getuid() || (found.st_mode & 0077) != 0) {
        snprintf(why, why_size, "the runtime folder %.100s is not this user's alone; run chmod 700", folder);
        return false;
    }
    return true;
}

bool os_read_private_file(const char *path, char *text, size_t size, char *why, size_t why_size) {
    struct stat found;
    size_t used = 0;
    ssize_t got = 1;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) {
        const char *remedy = errno == ENOENT ? "start one with 'shotstream serve'" : "only its owner can read it";
        snprintf(why, why_size, "no server's connection file at %.120s; %s", path, remedy);
        return false;
    }
    if (fstat(file, &found) != 0 || !S_ISREG(found.st_mode) || found.st_uid != getuid() || (found.st_mode & 0077)) {
        snprintf(why, why_size, "%.120s is not a file of this user alone; run chmod 600", path);
        close(file);
        return false;
    }
    while (used < size && got > 0) {
        got = read(file, text + used, size - used);
        if (got > 0) used += (size_t)got;
        if (got < 0 && errno == EINTR) got = 1;
    }
    close(file);
    if (got < 0 || used >= size) {
        snprintf(why, why_size, "%.120s is no connection file; restart the server", path);
        return false;
    }
    text[used] = '\0';
    return true;
}

const char *os_segment_open(const char *name, uint64_t max_size, os_segment *segment) {
    struct stat found;
    void *data;
    const char *why = NULL;
    int file = shm_open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    if (file < 0) return "it cannot be opened";
    if (fstat(file, &found) != 0 || !S_ISREG(found.st_mode)) why = "it is no shared memory";
    else if (found.st_uid != geteuid()) why = "it belongs to another user";
    else if (found.st_mode & 0077) why = "other users may open it";
    else if (found.st_size <= 0 || (uint64_t)found.st_size > max_size) why = "its size is not that of a ring";
    if (why == NULL) {
        data = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_SHARED, file, 0);
        if (data == MAP_FAILED) why = "it cannot be mapped";
        segment->data = data;
        segment->size = (uint64_t)found.st_size;
    }
    close(file);
    return why;
}

void os_segment_close(os_segment *segment) {
    munmap((void *)(uintptr_t)segment->data, (size_t)segment->size);
    segment->data = NULL;
}
