/* Stands between the server and the C library, and fails file calls on demand.
 *
 * Loaded with LD_PRELOAD; FAULT_CONTROL names a file that is shared with the driver, laid out as the
 * struct below. Only files under a directory `log` or `store` are touched. */
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
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, OPEN = 4, TRUNCATE = 8, UNLINK = 16, RENAME = 32 };
enum { LOG = 1, STORE = 2 };
enum { HANDLES = 1 << 16 };

struct control {
    uint32_t armed;  /* 0 = every call goes through */
    uint32_t calls;  /* which of the above */
    uint32_t places; /* in which directory */
    int32_t error;   /* errno of a call that fails */
    uint32_t lie;    /* syncs do nothing and say that all is well */
    uint32_t half;   /* a write that fails takes half first, and the next one fails */
    uint64_t skip;   /* so many calls go through first */
    uint64_t fail;   /* and so many fail then */
    uint64_t seen;
    uint64_t failed;
    uint64_t reused; /* writes and syncs on a handle of the log after its sync failed */
};

static struct control *control;
static unsigned char spoiled[HANDLES]; /* a sync of the handle has failed */
static unsigned char cut[HANDLES];     /* its last write was cut short, the next one fails */

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULT_CONTROL");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) control = map;
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static uint32_t load(uint32_t *of) { return __atomic_load_n(of, __ATOMIC_ACQUIRE); }

static uint32_t place_of(const char *path) {
    if (strstr(path, "/log/")) return LOG;
    if (strstr(path, "/store/")) return STORE;
    return 0;
}

static uint32_t place_of_handle(int handle) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return place_of(path);
}

/* Whether this call is to fail. */
static int hit(uint32_t call, uint32_t place) {
    if (!(control->calls & call) || !(control->places & place)) return 0;
    uint64_t number = __atomic_fetch_add(&control->seen, 1, __ATOMIC_ACQ_REL);
    if (number < control->skip || number - control->skip >= control->fail) return 0;
    __atomic_fetch_add(&control->failed, 1, __ATOMIC_ACQ_REL);
    return 1;
}

static int hit_handle(uint32_t call, int handle) {
    if (!control) return 0;
    int armed = load(&control->armed) != 0;
    int mark = handle >= 0 && handle < HANDLES && spoiled[handle];
    if (!armed && !mark) return 0;
    uint32_t place = place_of_handle(handle);
    if (mark && place == LOG) __atomic_fetch_add(&control->reused, 1, __ATOMIC_ACQ_REL);
    return armed && hit(call, place);
}

static int hit_path(uint32_t call, const char *path) {
    return control && load(&control->armed) && hit(call, place_of(path));
}

static int fail(void) {
    errno = control->error;
    return -1;
}

ssize_t write(int handle, const void *bytes, size_t count) {
    NEXT(write);
    int known = handle >= 0 && handle < HANDLES;
    if (known && cut[handle]) {
        cut[handle] = 0;
        return fail();
    }
    if (!hit_handle(WRITE, handle)) return next(handle, bytes, count);
    if (!known || !load(&control->half) || count < 2) return fail();
    /* As a disk that fills up does: it says how much it took, and fails the next write. */
    ssize_t taken = next(handle, bytes, count / 2);
    cut[handle] = taken > 0;
    return taken;
}

ssize_t writev(int handle, const struct iovec *pieces, int count) {
    NEXT(writev);
    return hit_handle(WRITE, handle) ? fail() : next(handle, pieces, count);
}

ssize_t pwrite64(int handle, const void *bytes, size_t count, off64_t at) {
    NEXT(pwrite64);
    return hit_handle(WRITE, handle) ? fail() : next(handle, bytes, count, at);
}

static int hit_sync(int handle) {
    if (!hit_handle(SYNC, handle)) return 0;
    if (handle >= 0 && handle < HANDLES) spoiled[handle] = 1;
    return 1;
}

int fsync(int handle) {
    NEXT(fsync);
    if (control && load(&control->lie)) return 0;
    return hit_sync(handle) ? fail() : next(handle);
}

int fdatasync(int handle) {
    NEXT(fdatasync);
    if (control && load(&control->lie)) return 0;
    return hit_sync(handle) ? fail() : next(handle);
}

int close(int handle) {
    NEXT(close);
    if (handle >= 0 && handle < HANDLES) spoiled[handle] = cut[handle] = 0;
    return next(handle);
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        NEXT(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && hit_path(OPEN, path)) return fail(); \
        return next(path, flags, mode); \
    }

OPENS(open)
OPENS(open64)

int ftruncate64(int handle, off64_t length) {
    NEXT(ftruncate64);
    return hit_handle(TRUNCATE, handle) ? fail() : next(handle, length);
}

int unlink(const char *path) {
    NEXT(unlink);
    return hit_path(UNLINK, path) ? fail() : next(path);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    return hit_path(RENAME, to) ? fail() : next(from, to);
}
