/* The driver `lxc`: liblxc's programs make the container. Private to src/exec/lxc. */
#pragma once

#include "base/arena.h"
#include "exec/exec.h"
#include "exec/native/seccomp.h"

/* Files below a container's lxc_dir. */
#define LXC_CONFIG  "config"
#define LXC_LOG	    "log"
#define LXC_PATH    "path"    /* liblxc's -P: by it lxc-attach finds lxc-start */
#define LXC_ROOTFS  "rootfs"  /* where it assembles the root */
#define LXC_SOURCES "sources" /* what is bound into the root, by number */

struct lxc_dir {
	struct arena arena;
	const char *path; /* "<state_dir>/lxc" */
	int fd;
};

int lxc_dir_open(const char *state_dir, struct lxc_dir *ret, struct masu_error *err);
void lxc_dir_close(struct lxc_dir *dir);

/* ---- config.c ---- */

/* Refuses what liblxc cannot do, by the options' names. */
int lxc_config_check(const struct exec_request *request, struct masu_error *err);
/* Writes liblxc's configuration, for the root at @root. */
int lxc_config_write(struct lxc_dir *dir, const struct exec_request *request, const char *root,
		     struct masu_error *err);

/* ---- sources.c ---- */

/* What the container's mounts bind: a detached tree for each of the spec's, -1 for the others. */
struct lxc_sources {
	const struct exec_request *request;
	const char *path; /* where they are to be found, by number */
	const char *root; /* the container's, by path */
	int *trees;
};

int lxc_sources_open(struct lxc_dir *dir, const struct exec_request *request, const char *root,
		     struct lxc_sources *ret, struct masu_error *err);
/*
 * In the process that becomes lxc-start, in its mount namespace: attaches them, makes the places in
 * the root where things are mounted (it may be read-only), and takes the cgroup hierarchies out of
 * sight, so that liblxc leaves groups to masu.
 */
int lxc_sources_attach(const struct lxc_sources *sources, struct masu_error *err);
void lxc_sources_close(struct lxc_sources *sources);

/* ---- parcel.c: what a process is told that liblxc has made ---- */

struct parcel {
	const struct oci_spec *spec;
	const struct oci_process *process; /* NULL: the spec's, as the container's first one */
	const char *id;
	int stdio[3];
	struct seccomp_filter *filter;
};

/*
 * A pair of sockets, the parcel in the way of one. *ret_door is for a program that has
 * LXC_INSIDE_VERB and *ret_door's number run in the container: it finds the other one in there, so
 * that who runs in between does not hold it open.
 */
int parcel_send(const struct parcel *parcel, int *ret_link, int *ret_door, struct masu_error *err);
/* The other side: *ret_link, and the parcel, whose descriptors and texts are kept in @arena. */
int parcel_receive(int door, struct arena *arena, int *ret_link, struct parcel *ret,
		   int *ret_proc_fd, struct masu_error *err);
