/* Terminals: the pty of a container's process and handing its master on. */
#pragma once

#include "base/error.h"
#include "oci/runtime_spec.h"

/*
 * Child: opens a pty pair in the devpts that is mounted at /dev/pts inside @rootfd. The slave comes
 * from the master (TIOCGPTPEER), never from a path that the container could have replaced.
 */
int console_open(int rootfd, const struct oci_process *process, int *ret_master, int *ret_slave,
		 struct masu_error *err);

/* Child: makes @slave the controlling terminal and the standard streams. Needs setsid() before. */
int console_attach(int slave, struct masu_error *err);

/* Parent: connects to the OCI console socket at @path. */
int console_connect(const char *path, int *ret_fd, struct masu_error *err);

/* Parent: sends the master over the connection, as runc does ("/dev/ptmx" and SCM_RIGHTS), or takes
 * it out of *@master into *@ret_fd where @socket_fd is -1. */
int console_hand_over(int socket_fd, int *master, int *ret_fd, struct masu_error *err);
