/* A disk that misbehaves on order, and a clock that jumps: preloaded into the program under test.
 *
 * DISK_FAULTS names a file of six numbers of 64 bits, which are looked at in every call: microseconds that a write takes,
 * microseconds that a sync takes, the errno of every write, of every sync, and of whatever makes, renames or removes a
 * file or opens one to write; and by how many seconds the time of day is ahead. DISK_FAULTS_UNDER is the folder whose
 * files are meant. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_US, SYNC_US, WRITE_ERRNO, SYNC_ERRNO, CHANGE_ERRNO, AHEAD_SECS, COUNT };

static const volatile int64_t *faults;
static const char *under;

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_FAULTS");
    int fd = path ? open(path, O_RDONLY) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, COUNT * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    under = getenv("DISK_FAULTS_UNDER");
    if (mapped != MAP_FAILED && under) faults = mapped;
}

static int is_under(const char *path) { return strncmp(path, under, strlen(under)) == 0; }

static int is_open_under(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return is_under(path);
}

/* Returns whether the call fails. */
static int fails(int fd, int delay, int error) {
    if (!faults || (!faults[delay] && !faults[error]) || !is_open_under(fd)) return 0;
    if (faults[delay]) usleep((useconds_t)faults[delay]);
    errno = (int)faults[error];
    return errno != 0;
}

static int may_not_change(const char *path) {
    if (!faults || !faults[CHANGE_ERRNO] || !is_under(path)) return 0;
    errno = (int)faults[CHANGE_ERRNO];
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    if (fails(fd, WRITE_US, WRITE_ERRNO)) return -1;
    return REAL(ssize_t, "write", int, const void *, size_t)(fd, bytes, len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    if (fails(fd, WRITE_US, WRITE_ERRNO)) return -1;
    return REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, bytes, len, at);
}

int fsync(int fd) {
    if (fails(fd, SYNC_US, SYNC_ERRNO)) return -1;
    return REAL(int, "fsync", int)(fd);
}

int fdatasync(int fd) {
    if (fails(fd, SYNC_US, SYNC_ERRNO)) return -1;
    return REAL(int, "fdatasync", int)(fd);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && may_not_change(path)) return -1;
    return REAL(int, "open64", const char *, int, ...)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    return may_not_change(path) ? -1 : REAL(int, "mkdir", const char *, mode_t)(path, mode);
}

int rename(const char *from, const char *to) {
    return may_not_change(to) ? -1 : REAL(int, "rename", const char *, const char *)(from, to);
}

int unlink(const char *path) {
    return may_not_change(path) ? -1 : REAL(int, "unlink", const char *)(path);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(int, "clock_gettime", clockid_t, struct timespec *)(clock, now);
    if (faults && clock == CLOCK_REALTIME) now->tv_sec += faults[AHEAD_SECS];
    return result;
}
