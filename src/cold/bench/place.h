/*
 * Where workloads run: a scratch directory with one root of files that every column uses, a host of
 * its own (mount and network namespace, so that the machine's network and firewall are not touched)
 * and a second one with a cable to it, in which clients run as a neighbour on the network would.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "cold/bench/configuration.h"

#define PLACE_IMAGE	 "masu-bench:local"
#define PLACE_IMAGES_MAX 16

/* masu as it is without options. */
extern const struct configuration place_plain_masu;

struct place {
	struct arena *arena;
	const char *scratch; /* all of this is below it */
	const char *rootfs;  /* the files that every column runs */
	const char *plain;   /* the same at another path, once it is needed */
	const char *archive; /* the same as a tar archive, from which images are made */
	const char *masu;    /* the program */
	const char *probe;
	int client;	  /* network namespace of clients, -1: there is none (not root) */
	const char *host; /* address by which clients reach the host */
	int server_cpu, client_cpu;
	const struct configuration *images[PLACE_IMAGES_MAX]; /* whose stores have the image */
	size_t image_count;
	const char *btrfs_file; /* a btrfs made for its column, mounted; NULL: none */
	bool root_is_mounted;	/* the kernel's file systems are in it */
	bool unprivileged;	/* no namespaces: only native columns, over loopback */
	unsigned serial;
	/* what serves at the moment */
	const struct configuration *serving;
	const char *serving_name;
	pid_t serving_pid;
	pid_t relay;		/* before it, where the column has one */
	int serving_log;	/* what a server that has no engine printed, or -1 */
	pid_t registry;		/* for pulls; 0: none was needed */
	pid_t docker;		/* its daemon, likewise */
	struct buf out, errors; /* of the last command */
};

/*
 * Makes the scratch directory below @parent (NULL: /var/tmp). Without root there is neither a root
 * of files nor a network of its own; containers then say themselves that they need it. Nothing
 * outlives place_close(), and the namespaces not this process.
 */
int place_open(struct place *ret, struct arena *arena, const char *parent, struct masu_error *err);
void place_close(struct place *place);

/* image.c: puts a program of the host, or a file or directory tree, with the libraries it needs
 * into the root. -ENOENT where it is not installed. */
int place_add_program(struct place *place, const char *program, struct masu_error *err);
int place_add_tree(struct place *place, const char *path, struct masu_error *err);
int place_make_root(struct place *place, struct masu_error *err);
/* Makes the archive and masu's image of the root; nothing may be added after. */
int place_seal_root(struct place *place, struct masu_error *err);
/* The image in the store that this column uses, made when first asked for. */
int place_need_image(struct place *place, const struct configuration *configuration,
		     struct masu_error *err);

enum { PLACE_ANY_CPU = -1, PLACE_SERVER_CPU = -2, PLACE_CLIENT_CPU = -3 };

struct place_run {
	const struct configuration *configuration;
	const char *const *argv;     /* inside */
	const unsigned short *ports; /* that it serves, 0-terminated, or NULL */
	const char *extra;	     /* more arguments of the engine; NULL: none */
	int cpu;		     /* PLACE_… or a number */
	double limit;		     /* seconds */
};

/* Runs it to its end; output in place->out, seconds in *ret_wall (may be NULL). Fails where the
 * status is not 0, with what it said. */
int place_run(struct place *place, const struct place_run *run, double *ret_wall,
	      struct masu_error *err);

/* place_serve.c: starts a server and waits until clients can connect to its first port. One at a
 * time. Where it does not come to answer, the error has what it said. */
int place_serve(struct place *place, const struct place_run *run, struct masu_error *err);
/* Ends it. Safe where nothing serves. */
void place_stop(struct place *place);
/* Waits until something accepts connections there, seen from a network namespace (-1: the host's).
 */
int place_wait_port(struct place *place, const char *host, unsigned short port, int netns,
		    struct masu_error *err);
/* Runs a program of the root without a container, where clients are. */
int place_ask(struct place *place, const char *const *argv, int cpu, double limit,
	      struct masu_error *err);

/* daemon.c: starts a dockerd with a store of its own, once. */
int place_need_docker(struct place *place, struct masu_error *err);

/* store.c: a btrfs where masu's root with that storage driver will be, once, unless the scratch
 * directory is on one. */
int place_need_btrfs(struct place *place, struct masu_error *err);

/* Runs a program of the host. Fails where the status is not 0. */
int place_host(struct place *place, const char *const *argv, double limit, double *ret_wall,
	       struct masu_error *err);
/* The engine's words up to its verb ("masu --root …"); -ENOENT for those that have no store. */
int place_engine(struct place *place, const struct configuration *configuration, struct words *ret);
/* A name that no other container has. */
const char *place_name(struct place *place);
