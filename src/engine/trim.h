/*
 * Making an idle monitor as small as what it does: wait. A fork of masu has the whole program
 * mapped, relocated and partly in memory; while it waits it needs one page of code, its stack and
 * what it knows about the container.
 */
#pragma once

#include <stddef.h>
#include <sys/epoll.h>

/*
 * epoll_wait(2) without a timeout, for a monitor that expects to wait long: gives the pages of the
 * program (code, constants and, in the static release build, relocated data) back to the kernel,
 * waits from a page of its own, and puts everything back before it returns.
 */
int trim_wait(int epoll_fd, struct epoll_event *events, int count);

/* Gives back the whole pages in a buffer whose content is not needed; it reads as zero then. */
void trim_range(void *start, size_t size);

/*
 * Gives back the stack but for the caller's own frames, which begin at @frame
 * (__builtin_frame_address(0) of a function that never returns): what calls that have returned left
 * below, and the frames above, to which nobody comes back. Arguments and environment stay.
 */
void trim_stack(const void *frame);
