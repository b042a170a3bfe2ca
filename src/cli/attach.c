/* `masu attach`, and the attachments of run and start. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/relay.h"
#include "cli/session.h"
#include "engine/events.h"

struct attachment {
	struct engine *engine;
	const char *id;
	int control_fd;
};

static void forward_resize(void *opaque, unsigned short rows, unsigned short columns)
{
	struct attachment *attachment = opaque;
	char height[8], width[8];
	const struct oci_pair size[] = { { "height", height }, { "width", width } };
	engine_attach_resize(attachment->control_fd, rows, columns);
	snprintf(height, sizeof(height), "%u", rows);
	snprintf(width, sizeof(width), "%u", columns);
	event_container_id(attachment->engine, attachment->id, "resize", size, ARRAY_SIZE(size));
}

/* A container that has just ended takes no signal any more; that is no error. */
static void forward_signal(void *opaque, int sig)
{
	struct attachment *attachment = opaque;
	engine_kill(attachment->engine, attachment->id, sig, NULL);
}

int attach_prepare(const struct attach_options *options, struct detach_keys *ret_keys,
		   struct engine_attach *attach, struct masu_error *err)
{
	const struct relay relay = { .tty = options->tty, .proxy = options->proxy };
	const char *keys = options->detach_keys ? options->detach_keys : DETACH_KEYS_DEFAULT;
	int r = detach_keys_parse(keys, ret_keys, err);
	if (r < 0)
		return r;
	if (options->tty && options->stdin_ && !isatty(STDIN_FILENO)) {
		error_set(err, -ENOTTY, "the input device is not a TTY");
		return error_exit_status(err, 1);
	}
	if (options->tty)
		terminal_size(&attach->rows, &attach->columns);
	relay_block_signals(&relay);
	return 0;
}

int attach_relay(struct engine *engine, struct arena *arena, const char *id,
		 const struct attach_options *options, struct detach_keys *keys,
		 struct engine_attach *attach, bool *ret_detached, int *ret_status,
		 struct masu_error *err)
{
	struct attachment attachment = { engine, id, attach->control_fd };
	struct relay relay = {
		.tty = options->tty,
		.stdin_ = options->stdin_,
		.proxy = options->proxy,
		.framed = !options->tty,
		.in = options->stdin_ ? attach->stream_fd : -1,
		.out = { attach->stream_fd, -1 },
		.end = attach->control_fd,
		.keys = options->tty ? keys : NULL,
		.resize = forward_resize,
		.signal = forward_signal,
		.opaque = &attachment,
	};
	int r = relay_run(&relay, arena, err);
	*ret_detached = r == RELAY_DETACHED;
	if (r == RELAY_ENDED)
		r = engine_attach_wait(attach->control_fd, ret_status, err);
	engine_attach_close(attach);
	return r < 0 ? r : 0;
}

struct attach_verb {
	const char *detach_keys;
	bool no_stdin, sig_proxy;
};

static void attach_defaults(void *pointer)
{
	struct attach_verb *verb = pointer;
	verb->sig_proxy = true;
}

static const struct cli_option attach_options[] = {
	CLI_OPT(struct attach_verb, detach_keys, "detach-keys", 0, CLI_STRING, "string",
		"Override the key sequence for detaching a container"),
	CLI_OPT(struct attach_verb, no_stdin, "no-stdin", 0, CLI_BOOL, NULL, "Do not attach STDIN"),
	CLI_OPT(struct attach_verb, sig_proxy, "sig-proxy", 0, CLI_BOOL, NULL,
		"Proxy all received signals to the process (default true)"),
};

static int attach_run(struct cli_context *context, void *options, int argc, char **argv,
		      struct masu_error *err)
{
	const struct attach_verb *verb = options;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct container container;
	int r = session_container(context, argv[0], &engine, &container, err);
	if (r < 0)
		return r;
	if (container.status == CONTAINER_PAUSED)
		return error_set(err, -EBUSY,
				 "you cannot attach to a paused container, unpause it first");
	if (container.status == CONTAINER_RESTARTING)
		return error_set(
			err, -EBUSY,
			"you cannot attach to a restarting container, wait until it is running");
	if (container.status != CONTAINER_RUNNING)
		return error_set(err, -ESRCH,
				 "you cannot attach to a stopped container, start it first");
	struct attach_options how = { .tty = container.config.tty,
				      .stdin_ = !verb->no_stdin && container.config.open_stdin,
				      .proxy = verb->sig_proxy,
				      .detach_keys = verb->detach_keys };
	struct engine_attach attach = { .stdin_ = how.stdin_, .stdout_ = true, .stderr_ = true };
	struct detach_keys keys;
	bool detached;
	int status = 0;
	r = attach_prepare(&how, &keys, &attach, err);
	if (r == 0)
		r = engine_attach(&engine, container.id, &attach, err);
	if (r == 0)
		r = attach_relay(&engine, context->arena, container.id, &how, &keys, &attach,
				 &detached, &status, err);
	if (r < 0)
		return r;
	if (detached) {
		fprintf(stderr, "read escape sequence\n");
		return 1;
	}
	return status;
}

const struct cli_command attach_command = {
	.name = "attach",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Attach local standard input, output, and error streams to a running container",
	.options = attach_options,
	.option_count = ARRAY_SIZE(attach_options),
	.options_size = sizeof(struct attach_verb),
	.defaults = attach_defaults,
	.run = attach_run,
	.min_args = 1,
	.max_args = 1,
};
