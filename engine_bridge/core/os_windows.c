#include "os.h"

#include <process.h>
#include <stdio.h>
#include <stdlib.h>

int64_t os_now_ns(void) {
    LARGE_INTEGER rate, count;
    QueryPerformanceFrequency(&rate);
    QueryPerformanceCounter(&count);
    return count.QuadPart / rate.QuadPart * 1000000000 + count.QuadPart % rate.QuadPart * 1000000000 / rate.QuadPart;
}

uint32_t os_process_id(void) { return (uint32_t)GetCurrentProcessId(); }

uint32_t os_random(void) {
    uint64_t seed = (uint64_t)os_now_ns() * 6364136223846793005u + os_process_id();
    return (uint32_t)(seed ^ seed >> 33);
}

bool os_mutex_init(os_mutex *mutex) {
    InitializeCriticalSection(mutex);
    return true;
}

void os_mutex_free(os_mutex *mutex) { DeleteCriticalSection(mutex); }
void os_lock(os_mutex *mutex) { EnterCriticalSection(mutex); }
void os_unlock(os_mutex *mutex) { LeaveCriticalSection(mutex); }

bool os_cond_init(os_cond *cond) {
    InitializeConditionVariable(cond);
    return true;
}

void os_cond_free(os_cond *cond) { (void)cond; }
void os_broadcast(os_cond *cond) { WakeAllConditionVariable(cond); }

void os_wait(os_cond *cond, os_mutex *mutex, int64_t deadline_ns) {
    int64_t left_ms = (deadline_ns - os_now_ns() + 999999) / 1000000;
    if (left_ms < 0) left_ms = 0;
    if (left_ms > 60000) left_ms = 60000;
    SleepConditionVariableCS(cond, mutex, (DWORD)left_ms);
}

typedef struct start {
    void (*run)(void *);
    void *argument;
} start;

static unsigned __stdcall begin(void *given) {
    start own = *(start *)given;
    free(given);
    own.run(own.argument);
    return 0;
}

bool os_thread_start(os_thread *thread, void (*run)(void *), void *argument) {
    uintptr_t handle;
    start *given = malloc(sizeof *given);
    if (given == NULL) return false;
    given->run = run;
    given->argument = argument;
    handle = _beginthreadex(NULL, 0, begin, given, 0, NULL);
    if (handle == 0) {
        free(given);
        return false;
    }
    *thread = (HANDLE)handle;
    return true;
}

void os_thread_join(os_thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Who may open a file is left to the folder here: the user's own temporary folder. */
bool os_runtime_folder(char *folder, size_t size, char *why, size_t why_size) {
    static const char *const temporary[] = {"TMPDIR", "TEMP", "TMP"};
    const char *given = variable("SHOTSTREAM_RUNTIME"), *base = variable("XDG_RUNTIME_DIR");
    int length;
    size_t i;
    if (given != NULL) {
        length = snprintf(folder, size, "%s", given);
    } else if (base != NULL) {
        length = snprintf(folder, size, "%s\\shotstream", base);
    } else {
        for (i = 0, base = NULL; i < 3 && base == NULL; i++) base = variable(temporary[i]);
        length = snprintf(folder, size, "%s\\shotstream-0", base != NULL ? base : "C:\\TEMP");
    }
    if (length < 0 || (size_t)length >= size) {
        snprintf(why, why_size, "the path of the runtime folder is too long; set SHOTSTREAM_RUNTIME to another");
        return false;
    }
    return true;
}

bool os_read_private_file(const char *path, char *text, size_t size, char *why, size_t why_size) {
    FILE *file = fopen(path, "rb");
    size_t used;
    if (file == NULL) {
        snprintf(why, why_size, "no server's connection file at %.120s; start one with 'shotstream serve'", path);
        return false;
    }
    used = fread(text, 1, size, file);
    fclose(file);
    if (used >= size) {
        snprintf(why, why_size, "%.120s is no connection file; restart the server", path);
        return false;
    }
    text[used] = '\0';
    return true;
}
