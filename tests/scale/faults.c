/* Stands between a process and the C library, and lets the disk refuse.
 *
 * Calls that write below the folder given to `fault_watch` are counted; the one whose turn
 * `fault_arm` set fails, as on a full or broken disk. Loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SHORT = 2, FSYNC = 4, CREATE = 8, RENAME = 16, RESERVE = 32 };

static char watched[PATH_MAX];
static int kinds;
static long turn = -1, seen;
static int full; /* after a short write nothing more goes in */

void fault_watch(const char *folder) { snprintf(watched, sizeof watched, "%s", folder); }
void fault_arm(int which, long at) { kinds = which, turn = at, seen = 0, full = 0; }
void fault_disarm(void) { kinds = 0, full = 0; }
long fault_seen(void) { return seen; }

static int below(const char *path) {
    return watched[0] && path && strncmp(path, watched, strlen(watched)) == 0;
}

static int ours(int fd) {
    char link[64], path[PATH_MAX];
    if (!kinds) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

static int due(int kind) { return (kinds & kind) && seen++ == turn; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* -1: refuse; else how many of `size` bytes to take. */
static ssize_t taken(int fd, size_t size) {
    if (!ours(fd)) return (ssize_t)size;
    if (full || due(WRITE)) { errno = ENOSPC; return -1; }
    if (due(SHORT)) { full = 1; return (ssize_t)(size / 2); }
    return (ssize_t)size;
}

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t n = taken(fd, size);
    return n < 0 ? -1 : REAL(write)(fd, data, (size_t)n);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    ssize_t n = taken(fd, size);
    return n < 0 ? -1 : REAL(pwrite64)(fd, data, (size_t)n, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    size_t size = 0;
    for (int i = 0; i < count; i++) size += parts[i].iov_len;
    ssize_t n = taken(fd, size);
    if (n < 0) return -1;
    if ((size_t)n == size) return REAL(writev)(fd, parts, count);
    return REAL(write)(fd, parts[0].iov_base, parts[0].iov_len / 2);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    ssize_t n = taken(to, size);
    return n < 0 ? -1 : REAL(sendfile64)(to, from, at, (size_t)n);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
    ssize_t n = taken(fileno(stream), size * count);
    return n < 0 ? 0 : REAL(fwrite)(data, size, size ? (size_t)n / size : 0, stream);
}

int fsync(int fd) {
    if (ours(fd) && due(FSYNC)) { errno = EIO; return -1; }
    return REAL(fsync)(fd);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
    if (ours(fd) && due(RESERVE)) return ENOSPC;
    return REAL(posix_fallocate64)(fd, at, size);
}

static int refuses(const char *path, int flags) {
    if ((flags & O_CREAT) && kinds && below(path) && due(CREATE)) { errno = ENOSPC; return 1; }
    return 0;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return refuses(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return refuses(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    return refuses(path, O_CREAT) ? -1 : REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    if (kinds && below(to) && due(RENAME)) { errno = EIO; return -1; }
    return REAL(rename)(from, to);
}
