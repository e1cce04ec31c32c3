/* What differs between operating systems: threads, time, private files, shared memory. One .c file for each system. */
#ifndef SHOTSTREAM_OS_H
#define SHOTSTREAM_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
typedef CRITICAL_SECTION os_mutex;
typedef CONDITION_VARIABLE os_cond;
typedef HANDLE os_thread;
#else
#include <pthread.h>
typedef pthread_mutex_t os_mutex;
typedef pthread_cond_t os_cond;
typedef pthread_t os_thread;
#endif

/* Nanoseconds of a clock that never goes back; on one machine the same that the server uses. */
int64_t os_now_ns(void);
uint32_t os_process_id(void);
/* For delays that shall differ between clients; no secrets. */
uint32_t os_random(void);

bool os_mutex_init(os_mutex *mutex);
void os_mutex_free(os_mutex *mutex);
void os_lock(os_mutex *mutex);
void os_unlock(os_mutex *mutex);
bool os_cond_init(os_cond *cond);
void os_cond_free(os_cond *cond);
void os_broadcast(os_cond *cond);
/* Returns when woken, at deadline_ns of os_now_ns, or without a reason. */
void os_wait(os_cond *cond, os_mutex *mutex, int64_t deadline_ns);
/* The thread takes no signals of the program. */
bool os_thread_start(os_thread *thread, void (*run)(void *), void *argument);
void os_thread_join(os_thread thread);

/* The folder of connection files, as the server chooses it. False, and a sentence in why, when it is not to be trusted. */
bool os_runtime_folder(char *folder, size_t size, char *why, size_t why_size);
/* Reads a file that only this user may open, at most size - 1 bytes and a 0. False, and a sentence, else. */
bool os_read_private_file(const char *path, char *text, size_t size, char *why, size_t why_size);

typedef struct os_segment {
    const void *data;
    uint64_t size;
} os_segment;

#if defined(_WIN32)
#define OS_HAS_SEGMENTS 0 /* no server offers shared memory there */
#else
#define OS_HAS_SEGMENTS 1
/* Maps shared memory of this user that nobody else may open, read-only. Null, or why not. */
const char *os_segment_open(const char *name, uint64_t max_size, os_segment *segment);
void os_segment_close(os_segment *segment);
#endif

#endif
