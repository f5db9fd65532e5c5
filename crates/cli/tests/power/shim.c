/* Records what a process does to the files of a store, and what it says, in the order in which it happens.

   Loaded before the C library (LD_PRELOAD). POWER_STORE is the absolute path of the store: files whose path begins with it
   are recorded, and syncs of their folder. POWER_TRACE is the file that the records are appended to, each as

       kind (1 byte), inode, number (8 bytes each), length of text, length of data (4 bytes each), text, data

   in the byte order of the machine. trace.rs reads them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Held over a call and its record, so that the records are in the order of the calls. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void record(char kind, uint64_t inode, uint64_t number, const char *text, const void *data, size_t size) {
    static int trace = -1;
    int saved = errno;
    if (trace < 0) trace = syscall(SYS_openat, AT_FDCWD, getenv("POWER_TRACE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    uint32_t lengths[2] = {text ? strlen(text) : 0, size};
    struct iovec parts[] = {
        {&kind, 1}, {&inode, 8}, {&number, 8}, {lengths, 8}, {(void *)text, lengths[0]}, {(void *)data, size},
    };
    syscall(SYS_writev, trace, parts, 6);
    errno = saved;
}

/* What follows the folder in the path of a file of the store; null for all other paths. */
static const char *name_in_store(const char *path) {
    const char *store = getenv("POWER_STORE");
    if (!store || !path || strncmp(path, store, strlen(store))) return NULL;
    return path + (strrchr(store, '/') - store) + 1;
}

static int path_of(int fd, char path[4096]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlink, link, path, 4095);
    if (length <= 0) return 0;
    path[length] = 0;
    return 1;
}

/* The inode of a file of the store; 0 for all other files. */
static uint64_t inode_in_store(int fd) {
    char path[4096];
    struct stat found;
    if (!path_of(fd, path) || !name_in_store(path) || fstat(fd, &found)) return 0;
    return found.st_ino;
}

static int is_folder_of_store(int fd) {
    const char *store = getenv("POWER_STORE");
    char path[4096];
    size_t length = store ? strrchr(store, '/') - store : 0;
    return store && path_of(fd, path) && strlen(path) == length && !strncmp(path, store, length);
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char found[4096];
    pthread_mutex_lock(&order);
    int existed = !(flags & O_CREAT) || !syscall(SYS_faccessat, folder, path, F_OK);
    int fd = syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode);
    uint64_t inode = fd >= 0 && flags & (O_CREAT | O_TRUNC) ? inode_in_store(fd) : 0;
    if (inode && !existed && path_of(fd, found)) record('c', inode, 0, name_in_store(found), NULL, 0);
    if (inode && existed && flags & O_TRUNC) record('t', inode, 0, NULL, NULL, 0);
    pthread_mutex_unlock(&order);
    return fd;
}

#define MODE(flags)                                                        \
    mode_t mode = 0;                                                       \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                               \
        va_list more;                                                      \
        va_start(more, flags);                                             \
        mode = va_arg(more, mode_t);                                       \
        va_end(more);                                                      \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }

static ssize_t written(int fd, const void *from, size_t size, off64_t at, int is_at) {
    pthread_mutex_lock(&order);
    uint64_t inode = inode_in_store(fd);
    if (inode && !is_at) {
        at = syscall(SYS_lseek, fd, 0, SEEK_CUR);
        if (syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND) at = syscall(SYS_lseek, fd, 0, SEEK_END);
    }
    ssize_t done = is_at ? syscall(SYS_pwrite64, fd, from, size, at) : syscall(SYS_write, fd, from, size);
    if (done > 0 && inode) record('w', inode, at, NULL, from, done);
    if (done > 0 && fd == STDOUT_FILENO) record('s', 0, 0, NULL, from, done);
    pthread_mutex_unlock(&order);
    return done;
}

ssize_t write(int fd, const void *from, size_t size) { return written(fd, from, size, 0, 0); }
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { return written(fd, from, size, at, 1); }
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) { return written(fd, from, size, at, 1); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    /* Fewer bytes than were asked for are allowed. */
    for (int at = 0; at < count; at++)
        if (parts[at].iov_len) return written(fd, parts[at].iov_base, parts[at].iov_len, 0, 0);
    return 0;
}

#define SYNC(name)                                                         \
    int name(int fd) {                                                     \
        pthread_mutex_lock(&order);                                        \
        int done = REAL(name)(fd);                                         \
        uint64_t inode = inode_in_store(fd);                               \
        if (!done && inode) record('f', inode, 0, NULL, NULL, 0);          \
        if (!done && is_folder_of_store(fd)) record('d', 0, 0, NULL, NULL, 0); \
        pthread_mutex_unlock(&order);                                      \
        return done;                                                       \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name, off)                                                \
    int name(int fd, off size) {                                           \
        pthread_mutex_lock(&order);                                        \
        int done = REAL(name)(fd, size);                                   \
        uint64_t inode = inode_in_store(fd);                               \
        if (!done && inode) record('t', inode, size, NULL, NULL, 0);       \
        pthread_mutex_unlock(&order);                                      \
        return done;                                                       \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int unlink(const char *path) {
    pthread_mutex_lock(&order);
    int done = REAL(unlink)(path);
    const char *name = name_in_store(path);
    if (!done && name) record('u', 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&order);
    return done;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&order);
    int done = REAL(rename)(from, to);
    const char *old = name_in_store(from), *new = name_in_store(to);
    if (!done && old && new) record('r', 0, 0, old, new, strlen(new));
    pthread_mutex_unlock(&order);
    return done;
}
