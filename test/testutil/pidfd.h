// pidfd: a process as a file descriptor, so that no signal ever hits a stranger with a reused pid.
//
// Role      The two system calls by number: glibc 2.36's <sys/pidfd.h> declares them without extern "C".
// Errors    As the system calls: -1 and errno.
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace parti::test {

inline int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)); }  // close-on-exec
inline int send_pidfd_signal(int pidfd, int number) {
    return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0U));
}

}  // namespace parti::test
