/*
 * The monitor: one small process a container, forked by whoever starts it. It makes the container
 * (launch.c; park.c where it waits in between), holds its stdio and log (monitor_io.c), answers the
 * control socket (monitor_ctl.c), waits for the end by pidfd and tidies up (monitor.c). One epoll
 * loop in one thread, beside which, while there is output, another one writes the log
 * (log_writer.h). Nothing in it wakes up without a reason.
 */
#pragma once

#include <sys/epoll.h>

#include "engine/health.h"
#include "engine/internal.h"
#include "engine/log_writer.h"
#include "engine/protocol.h"

#define IO_INPUT_MAX 16384 /* of input that the container has not taken yet */
/* As many as fit into the usual 1,024 descriptors: an attached client has two. */
#define IO_CLIENTS_MAX	400
#define CTL_CLIENTS_MAX 400

enum source {
	SOURCE_PROCESS,
	SOURCE_OUTPUT,
	SOURCE_STDIN,
	SOURCE_STREAM,
	SOURCE_LISTENER,
	SOURCE_CONTROL,
	SOURCE_RESTART, /* the wait before the next start is over */
	SOURCE_IO,	/* IO_* */
	SOURCE_HEALTH,	/* HEALTH_EVENT_* */
	SOURCE_DIRECT,	/* a trapped call; which listener */
	SOURCE_DNS
};

/* Begins to watch @fd for @events, or ends it with @events 0; the loop gets (@source, @index). */
int watch(int epoll_fd, int fd, enum source source, unsigned index, uint32_t events);

/* ---- monitor_io.c ---- */

/* One attached stream. */
struct io_client {
	bool used;
	bool primary; /* the one the container was started with: waited for, not cut off */
	int fd;
	unsigned streams;     /* CTL_STREAM_* */
	bool leaving;	      /* of a run that has ended: goes once it has taken everything */
	bool behind;	      /* the container waits for it, until give_up_at */
	unsigned patience_ms; /* how long that may be */
	uint64_t give_up_at;  /* monotonic, ms */
	char *backlog;	      /* output it has not taken yet: from _at on */
	size_t backlog_at, backlog_len, backlog_size;
};

/* Why the container's output is not read. */
enum { HOLD_PRIMARY = 1, HOLD_LOG = 2, HOLD_CLIENT = 4 };
/* What SOURCE_IO tells: the log has room again, was waited for long enough, or a client was. */
enum { IO_LOG_ROOM, IO_LOG_STALL, IO_PATIENCE };

/* All zero but the descriptors is how it begins; memory that is not used is not touched. */
struct monitor_io {
	int epoll_fd;
	bool tty, stdin_once;
	unsigned held;	/* HOLD_*: outputs are not read */
	bool stdin_eof; /* close stdin once what is pending is written */
	bool watching_stdin, watching_log;
	uint32_t watched[2]; /* the events that outputs are watched for */
	int outputs[2];	     /* stdout and stderr, or the terminal and -1 */
	int stdin_fd;	     /* -1: none; the terminal with a tty */
	/* Timers: how long the log and clients are waited for; 0: not needed yet. */
	int stall_fd, patience_fd;
	unsigned full_reads;  /* in a row: the pipe is too small */
	unsigned client_room; /* clients[] from there on were never used, or not for a while */
	size_t backlogs;      /* of all clients together */
	uint64_t cut_off;     /* clients that fell too far behind */
	size_t pending_len, pending_at;
	struct log_writer log;
	/* Big and seldom touched, so last. */
	struct io_client clients[IO_CLIENTS_MAX];
	char pending[IO_INPUT_MAX] __attribute__((aligned(4096)));
};

/* Starts watching what is open in @io. */
int io_start(struct monitor_io *io);
/* A new client; takes @fd over. -EAGAIN: too many. */
int io_client_add(struct monitor_io *io, int fd, unsigned streams, bool primary);
void io_output_ready(struct monitor_io *io, unsigned index);
void io_stdin_ready(struct monitor_io *io);
void io_client_ready(struct monitor_io *io, unsigned index, uint32_t events);
/* One of IO_*. */
void io_ready(struct monitor_io *io, unsigned index);
/* The container has ended: reads what is left, completes the log, ends the streams of clients that
 * have taken everything. */
void io_finish(struct monitor_io *io);
/* After io_finish(): ready for the next run; who has not taken the last one's output yet may go
 * on with that. */
void io_next_run(struct monitor_io *io);
/* Gives back the memory of buffers that hold nothing. false: the log is still being written, so the
 * program's memory is in use. */
bool io_trim(struct monitor_io *io);
/* True while a client still has output to take. */
bool io_has_backlog(const struct monitor_io *io);

/* Stops or goes on to read outputs. */
void io_hold(struct monitor_io *io, unsigned why, bool on);
/* A client has no more input for the container. */
void io_input_ended(struct monitor_io *io);

/* ---- monitor_clients.c ---- */

bool io_wants_input(const struct monitor_io *io, const struct io_client *client);
/* Ask for the events that matter to a client, or to all, now. */
void io_client_update(struct monitor_io *io, unsigned index);
void io_clients_update(struct monitor_io *io);
void io_client_close(struct monitor_io *io, unsigned index);
/* Sends what was kept, as far as its socket takes it. */
void io_client_flush(struct monitor_io *io, unsigned index);
/* Gives output (0 stdout or the terminal, 1 stderr) to everybody attached. */
void io_distribute(struct monitor_io *io, unsigned output, const char *data, size_t len);
/* Clients that were waited for long enough are cut off. */
void io_patience_over(struct monitor_io *io);
/* Nobody is waited for any more. */
void io_forgive(struct monitor_io *io);

/* ---- monitor_ctl.c ---- */

struct ctl_client {
	bool used, wants_exit;
	bool end_only; /* what the exit status was does not matter to it */
	bool holds;    /* CTL_HOLD */
	int fd;
};

struct monitor;
struct monitor_ctl {
	int listen_fd; /* -1: none */
	bool deaf;     /* no descriptors are left: connections wait until a client goes */
	unsigned room; /* clients[] from there on are unused */
	struct ctl_client clients[CTL_CLIENTS_MAX];
};

/* Makes <run_fd>/ctl.sock. */
int ctl_listen(int run_fd, int *ret_fd, struct masu_error *err);
int ctl_start(struct monitor *monitor);
/* Each false where there was nothing to accept or to read. */
bool ctl_accept(struct monitor *monitor);
/* Who waits for a word that cannot be said is hung up on. @passed_fd may be -1. */
void ctl_reply(int fd, const struct ctl_message *message, int passed_fd);
bool ctl_client_ready(struct monitor *monitor, unsigned index);
/*
 * Tells everybody who waits that the container has ended, and hangs up on them. Whoever is told an
 * exit status finds the same after a power cut, so the record is synced before; nobody there: it is
 * not.
 */
void ctl_tell_end(struct monitor *monitor, int status, bool oom_killed);
/* The same for the last time: also who has connected only now is told, and nobody is served any
 * more. */
void ctl_finish(struct monitor *monitor, int status, bool oom_killed);

/* ---- monitor_restart.c ---- */

/* The restart policy at work. What the policy is stands in the container's record. */
struct monitor_restart {
	int timer_fd;		   /* -1: none yet */
	bool waiting;		   /* between an end and the next start */
	bool stopped;		   /* somebody said CTL_STOPPING since the last start */
	bool by_hand;		   /* … and not because the system goes down */
	bool keep;		   /* … to start it again: it is not removed */
	int count;		   /* restarts since the last start by hand */
	int64_t backoff;	   /* milliseconds before the last of them; 0: none yet */
	int64_t started;	   /* CLOCK_MONOTONIC in milliseconds */
	struct masu_error failure; /* why the next start did not come */
};

struct monitor;
/* A start by hand: no restarts are counted yet, and nobody has stopped it. */
void restart_reset(struct monitor *monitor);
/* The container runs. */
void restart_note_start(struct monitor *monitor);
/*
 * After an end with @status that has not been recorded yet: where the policy says so, records it,
 * waits and starts the container again. true: it runs. false: it is over; *ret_recorded when the
 * end is in the container's fields already, because it was over only after some waiting.
 */
bool restart_in_place(struct monitor *monitor, int status, bool *ret_recorded);
/* CTL_STOPPING: the end that follows is meant; where the container waits for its next start, this
 * is the end. */
void restart_stopping(struct monitor *monitor, unsigned flags);
/* CTL_START to a container that waits for its next start: now, counted as by hand. */
void restart_now(struct monitor *monitor, int client_fd, const struct ctl_message *request);

/* Milliseconds since the container was started. */
int64_t restart_since_start(const struct monitor *monitor);

/* ---- monitor_health.c ---- */

enum health_action {
	HEALTH_ACTION_NONE,
	HEALTH_ACTION_KILL,
	HEALTH_ACTION_RESTART,
	HEALTH_ACTION_STOP
};

enum { HEALTH_EVENT_TIMER, HEALTH_EVENT_PROBE };

struct monitor_health {
	bool active;  /* the container runs and has a check */
	bool ending;  /* the stop signal was sent; with the timer follows SIGKILL */
	bool restart; /* the end that is coming is to be followed by a start */
	int timer_fd;
	int probe_fd; /* of the check that is being made, -1: none */
	enum health_status status;
	enum health_action action; /* on becoming unhealthy */
	struct health_plan plan;
};

/* The container runs: nothing happens unless it has a check. */
void health_begin(struct monitor *monitor);
/* It has ended: so do the checks. */
void health_end(struct monitor *monitor);
void health_event(struct monitor *monitor, unsigned what);

/* ---- health_probe.c ---- */

#define HEALTH_PROBE_SKIPPED                                                                       \
	100 /* exit status: nothing was checked; else an enum health_status                        \
	     */

/* Makes one check, in a fork. @stuck: the last one could not even begin, which is to be recorded.
 */
void health_probe_main(struct monitor *monitor, int64_t since_start, bool stuck)
	__attribute__((noreturn));

/* ---- monitor_dns.c ---- */

struct monitor;
/* The container with init @pid has been connected to its networks, or to others: it gets a resolver
 * where one of them has names. */
int resolver_begin(struct monitor *monitor, pid_t pid, struct masu_error *err);
/* Its record has changed. */
void resolver_reload(struct monitor *monitor);
/* Before anybody waits for its network namespace to go. */
void resolver_end(struct monitor *monitor);

/* ---- monitor_direct.c ---- */

struct direct;
struct monitor_direct {
	struct direct *state; /* NULL: trapped calls go on as they are */
	int *listeners;	      /* -1: has ended */
	unsigned count;
};

/* The container runs: answers the calls that are trapped in it, if any are. */
void direct_begin(struct monitor *monitor);
/* One more listener, of a process that was started in the container; takes @listener_fd over. */
int direct_listen(struct monitor *monitor, int listener_fd);
/* Its published ports are others. */
void direct_ports_changed(struct monitor *monitor);
/* Its record has changed: where it has been disconnected from the network that they were published
 * through, the host's ports are let go. */
void direct_ports_gone(struct monitor *monitor);
void direct_event(struct monitor *monitor, unsigned index, uint32_t events);
/* It has ended. */
void direct_end(struct monitor *monitor);

/* ---- monitor.c ---- */

struct launch;
struct monitor {
	struct engine *engine;
	struct arena *arena; /* what it was forked with; given back after a while */
	struct container container;
	struct launch *launch; /* while it is being made */
	const void *frame;     /* of monitor_main(): nobody returns beyond it */
	bool trimmed;	       /* the arena and the cgroup are gone, and what container points to */
	bool stale;	       /* what is kept of the container is out of date */
	bool over;	       /* what the loop waits for has happened */
	int epoll_fd;
	int lock_fd;	/* the container's lock, held until it runs */
	int control_fd; /* of who started it */
	struct exec_container process;
	struct cgroup *cgroup;
	int mounts_fd;	     /* its mount namespace, which so outlives it: launch_unmount() */
	int layer_fd;	     /* locked while the writable layer is mounted */
	uint64_t start_time; /* the monitor's own */
	char finished[TIME_TEXT_SIZE];
	struct monitor_restart restart;
	struct monitor_health health;
	struct monitor_direct direct;
	struct dns *dns; /* NULL: it has none */
	struct monitor_ctl ctl;
	struct monitor_io io; /* ends with pages of its own */
};

/* What a monitor is forked with. All fds are its own. */
struct monitor_start {
	bool parked;	      /* prepare only, then wait to be asked for the start: park.c */
	bool network_follows; /* the starter sends CTL_NETWORK */
	int lock_fd, control_fd, stream_fd; /* -1: none */
	unsigned streams;
	unsigned short rows, columns;
};

/* Runs in the fork: makes and supervises the container; never returns. */
void monitor_main(struct engine *engine, struct arena *arena, const struct container *container,
		  const struct monitor_start *start) __attribute__((noreturn));

/* The same in another program, which has the container's exec driver (elsewhere.c). */
void monitor_elsewhere(const struct engine *engine, const struct container *container,
		       const struct monitor_start *start) __attribute__((noreturn));

/* Opens the control socket, the log and the loop, unless they are open. */
int monitor_open(struct monitor *monitor, struct masu_error *err);
/*
 * Makes the container and lets it run, as prepare and start in one; for every start after the
 * first.
 */
int monitor_launch(struct monitor *monitor, const struct monitor_start *start,
		   struct masu_error *err);
/* Tells @client_fd (-1: nobody) that it runs, with @stream_fd unless it is -1, and records it. */
void monitor_report_start(struct monitor *monitor, int client_fd, int stream_fd);
/*
 * Reads the container again where memory was given back or its record was changed. The directories
 * stay open as they are.
 */
int monitor_remember(struct monitor *monitor);
/* Gives the memory of the making back; only id, directories and what the loop needs stay known. */
void monitor_forget(struct monitor *monitor);
/* Serves everybody until monitor->over. */
void monitor_supervise(struct monitor *monitor);
/* The container has ended with @status: into its fields, not into its files. */
void monitor_note_end(struct monitor *monitor, enum container_status status, int exit_code);
/* Records why it does not run and takes the container away if it goes by itself. */
void monitor_failed(struct monitor *monitor, const struct masu_error *err);
/* One event of the loop. */
void monitor_dispatch(struct monitor *monitor, const struct epoll_event *event);

/* ---- park.c ---- */

/* Whether preparing the container when it is created cannot go wrong by what changes until it is
 * started, and there are not too many prepared ones. */
bool park_worthwhile(struct engine *engine, const struct container_config *config);
/* Waits with the prepared container until somebody asks for the start. false: it never came. */
bool park(struct monitor *monitor);
/* Answers CTL_START. */
void park_start(struct monitor *monitor, int client_fd, const struct ctl_message *request);

/* ---- launch.c ---- */

struct launch {
	struct monitor *monitor;
	bool parked;  /* prepared by create, not asked to start yet: without a network */
	bool gone;    /* parked no longer, and not started either */
	bool unclean; /* something is left that could not be taken down: recovery is to find it */
	const struct exec_ops *driver;
	struct oci_spec spec;
	bool network_follows;
	int rootfs_fd, netns_fd;
	int stdio[3]; /* the container's ends */
	char bundle[4096];
	const char *state_dir; /* NULL for the native driver */
	const char *join_network, *join_pid, *join_ipc;
	const char *etc_from; /* id of the container whose network is shared; NULL: none */
};

/* Makes everything up to the process that waits before its execve. On failure, here and in
 * launch_start(), all that was made is gone again. */
int launch_prepare(struct launch *launch, struct monitor *monitor,
		   const struct monitor_start *start, struct masu_error *err);
/* Lets it go. @rows, @columns: of the terminal, 0 unknown. */
int launch_start(struct launch *launch, unsigned short rows, unsigned short columns,
		 struct masu_error *err);
/* Ends the process and takes everything down. */
void launch_undo(struct launch *launch);
/* Closes what only the making needed. */
void launch_close(struct launch *launch);
/*
 * Lets go of what the container that has ended had mounted. The kernel takes that down in whoever
 * holds it last, and an overlay is synced by it; so that is not the container, whose end is waited
 * for, but the monitor, when everybody has been told. Mounts of what belongs to others, volumes and
 * the host's directories, are not held: when the end is told, they are free.
 */
void launch_unmount(struct monitor *monitor);
