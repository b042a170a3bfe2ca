/*
 * Completion for shells. `masu completion SHELL` prints a few lines for the shell, which ask the
 * hidden verb `__complete` at every tab: what can come next is read off the command table, so that
 * it is never older than the program. What a verb's arguments are is read off its synopsis.
 *
 * __complete WORD...: the words after "masu", the last one being typed. One candidate a line, with
 * a tab and what it is behind it; the last line is ":0", or ":1" where file names may be meant too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/images.h"
#include "cli/session.h"
#include "image/image.h"
#include "state/record.h"

#define MAX_DEPTH 4 /* of commands within each other */

/* What stands before the word that is being typed. */
struct place {
	const struct cli_command *command;
	const struct cli_option *wants_value; /* of this option; NULL: no value is due */
	int arguments;			      /* that were typed already */
	bool options_over;		      /* "--", or the words of a program */
	const char *verb;
};

struct answer {
	struct cli_context *context;
	const char *prefix; /* what is typed of the word */
	const char *glue;   /* put in front of candidates: "--network=" */
	bool files;
};

static void offer(const struct answer *a, const char *candidate, const char *about)
{
	if (!str_after(candidate, a->prefix))
		return;
	printf("%s%s", a->glue, candidate);
	if (about && *about)
		printf("\t%s", about);
	putchar('\n');
}

/* ---- what there is ---- */

/* Which containers a verb is for. */
enum wanted { WANT_ALL, WANT_ALIVE, WANT_STOPPED, WANT_PAUSED };

static enum wanted containers_of(const char *verb)
{
	static const char *const alive[] = { "attach", "exec", "kill",	"pause",
					     "port",   "stop", "stats", "top" };
	for (size_t i = 0; i < ARRAY_SIZE(alive); i++)
		if (streq(verb, alive[i]))
			return WANT_ALIVE;
	if (streq(verb, "start"))
		return WANT_STOPPED;
	return streq(verb, "unpause") ? WANT_PAUSED : WANT_ALL;
}

struct container_offer {
	const struct answer *answer;
	enum wanted wanted;
};

static int offer_container(void *opaque, struct arena *arena, const struct container *container,
			   struct masu_error *err)
{
	const struct container_offer *o = opaque;
	bool alive = container_is_alive(container);
	bool shown = o->wanted == WANT_ALL || (o->wanted == WANT_ALIVE && alive) ||
		     (o->wanted == WANT_STOPPED && !alive) ||
		     (o->wanted == WANT_PAUSED && container->status == CONTAINER_PAUSED);
	if (shown)
		offer(o->answer, container->name,
		      arena_printf(arena, "%s, %s", container->config.image,
				   container_status_name(container->status)));
	return 0;
}

/* Nothing is made where nothing is: who only looks leaves no directory behind. */
static bool open_engine(const struct answer *a, struct engine *ret)
{
	return access(a->context->root, R_OK | X_OK) == 0 &&
	       access(a->context->runroot, R_OK | X_OK) == 0 &&
	       session_open(a->context, ret, NULL) == 0;
}

static void offer_containers(const struct answer *a, enum wanted wanted)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct container_offer o = { a, wanted };
	if (open_engine(a, &engine))
		engine_each(&engine, wanted == WANT_ALL || wanted == WANT_STOPPED, offer_container,
			    &o, NULL);
}

static void offer_images(const struct answer *a)
{
	_cleanup_close_ int root = -1;
	struct arena *arena = a->context->arena;
	struct image *images;
	size_t count;
	if (access(a->context->root, R_OK | X_OK) < 0 ||
	    state_open_root(a->context->root, &root, NULL) < 0 ||
	    image_list(root, arena, &images, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct image_reference reference;
		if (images[i].reference &&
		    image_reference_parse(arena, images[i].reference, &reference, NULL) == 0)
			offer(a, image_reference_familiar_full(arena, &reference), "image");
	}
}

static void offer_volumes(const struct answer *a)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	const char **names;
	size_t count;
	if (!open_engine(a, &engine))
		return;
	_cleanup_close_ int volumes =
		openat(engine.root_fd, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (volumes >= 0 && record_list(volumes, a->context->arena, &names, &count, NULL) == 0)
		for (size_t i = 0; i < count; i++)
			offer(a, names[i], "volume");
}

static void offer_networks(const struct answer *a)
{
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	const struct json **networks;
	const char *name;
	size_t count;
	if (!open_engine(a, &engine) ||
	    engine_network_list(&engine, a->context->arena, &networks, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (json_string(json_get(networks[i], "Name"), &name))
			offer(a, name, "network");
}

/* ---- values of options ---- */

static void offer_words(const struct answer *a, const char *const *words)
{
	for (; *words; words++)
		offer(a, *words, NULL);
}

static void offer_value(struct answer *a, const struct place *place)
{
	static const struct {
		const char *option;
		const char *words[12];
	} fixed[] = {
		{ "restart", { "no", "always", "on-failure", "unless-stopped" } },
		{ "pull", { "always", "missing", "never" } },
		{ "log-driver", { "json-file", "local", "journald", "none", "syslog" } },
		{ "cgroupns", { "host", "private" } },
		{ "ipc", { "none", "private", "shareable", "host" } },
		{ "pid", { "host" } },
		{ "uts", { "host" } },
		{ "userns", { "host" } },
		{ "proc", { "host", "limits" } },
		{ "type", { "container", "image", "network", "volume" } },
		{ "format", { "json", "table" } },
		{ "attach", { "stdin", "stdout", "stderr" } },
		{ "health-on-failure", { "none", "kill", "restart", "stop" } },
		{ "condition", { "not-running", "next-exit", "removed" } },
		{ "signal",
		  { "HUP", "INT", "QUIT", "KILL", "TERM", "USR1", "USR2", "STOP", "CONT" } },
		{ "stop-signal", { "HUP", "INT", "QUIT", "KILL", "TERM", "USR1", "USR2" } },
	};
	static const char *const files[] = { "cidfile", "env-file", "label-file", "input",
					     "output",	"root",	    "runroot",	  "bundle",
					     "volume",	"device",   "pid-file",	  "process",
					     "log" };
	const char *name = place->wants_value->name;
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (streq(name, fixed[i].option))
			offer_words(a, fixed[i].words);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		a->files |= streq(name, files[i]);
	if (streq(name, "network") || streq(name, "net"))
		offer_networks(a);
	if (streq(name, "volumes-from"))
		offer_containers(a, WANT_ALL);
	if (streq(name, "volume"))
		offer_volumes(a);
}

/* ---- arguments, by the synopsis: "[OPTIONS] CONTAINER [CONTAINER...]" ---- */

/* The word that stands for argument @at; the last one stands for what follows, if it has dots. */
static const char *synopsis_word(const char *synopsis, int at, char *word, size_t size)
{
	const char *p = synopsis;
	*word = '\0';
	for (int n = 0; *p;) {
		size_t len = strcspn(p, " ");
		bool options = len >= 8 && strncmp(p, "[OPTIONS", 8) == 0;
		if (!options)
			str_format(word, size, "%.*s", (int)len, p);
		if (!options && n++ == at)
			return word;
		p += len;
		p += strspn(p, " ");
	}
	if (!strstr(word, "..."))
		*word = '\0';
	return word;
}

static void offer_arguments(struct answer *a, const struct place *place)
{
	char word[64];
	synopsis_word(place->command->synopsis, place->arguments, word, sizeof(word));
	bool any = strstr(word, "NAME|ID") != NULL;
	if (any || strstr(word, "CONTAINER"))
		offer_containers(a, containers_of(place->verb));
	bool image = strstr(word, "IMAGE") || strstr(word, "REPOSITORY") ||
		     streq(word, "NAME[:TAG]"); /* push; what pull takes is not here */
	if (any || image)
		offer_images(a);
	if (any || strstr(word, "VOLUME"))
		offer_volumes(a);
	if (any || strstr(word, "NETWORK"))
		offer_networks(a);
	/* A path, an archive, or the words of a program. */
	a->files |= strstr(word, "PATH") || strstr(word, "FILE") || strstr(word, "file") ||
		    strstr(word, "COMMAND") || strstr(word, "ARG");
}

/* ---- where the word stands ---- */

static void offer_options(const struct answer *a, const struct cli_command *command)
{
	for (size_t i = 0; i < command->option_count; i++) {
		const struct cli_option *option = &command->options[i];
		char text[128];
		if (option->hidden)
			continue;
		if (str_format(text, sizeof(text), "--%s", option->name) == 0)
			offer(a, text, option->help);
	}
	offer(a, "--help", "Print usage");
}

/* "--name", "-n", "-itn": the option whose value is the next word, or NULL. */
static const struct cli_option *option_of(const struct cli_command *command, const char *word)
{
	const struct cli_option *option = NULL;
	if (word[1] == '-')
		option = strchr(word, '=') ? NULL
					   : cli_option_long(command, word + 2, strlen(word + 2));
	for (const char *p = word + 1; word[1] != '-' && *p; p++) {
		option = cli_option_letter(command, *p);
		/* "-nvalue" has its value with it. */
		if (option && cli_option_takes_value(option) && p[1])
			return NULL;
	}
	return option && cli_option_takes_value(option) ? option : NULL;
}

static void pass_word(struct place *place, const char *word)
{
	const struct cli_command *below;
	if (place->wants_value) {
		place->wants_value = NULL;
	} else if (!place->options_over && streq(word, "--")) {
		place->options_over = true;
	} else if (!place->options_over && *word == '-' && word[1]) {
		place->wants_value = option_of(place->command, word);
	} else if (place->arguments == 0 &&
		   (below = cli_subcommand(place->command, word,
					   place->command != &root_command))) {
		place->command = below;
		place->verb = below->name;
	} else {
		place->arguments++;
		place->options_over |= place->command->stop_at_positional;
	}
}

static void complete(struct answer *a, struct place *place, char *word)
{
	char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
	a->prefix = word;
	a->glue = "";
	if (place->wants_value) {
		offer_value(a, place);
	} else if (!place->options_over && equals) {
		place->wants_value =
			cli_option_long(place->command, word + 2, (size_t)(equals - word - 2));
		a->prefix = equals + 1;
		a->glue = arena_strndup(a->context->arena, word, (size_t)(equals + 1 - word));
		if (place->wants_value && a->glue)
			offer_value(a, place);
	} else if (!place->options_over && *word == '-') {
		offer_options(a, place->command);
	} else if (place->command->subcommands && place->arguments == 0) {
		for (const struct cli_command *const *sub = place->command->subcommands; *sub;
		     sub++)
			if (!(*sub)->hidden)
				offer(a, (*sub)->name, (*sub)->summary);
	} else if (!place->command->subcommands) {
		offer_arguments(a, place);
	}
}

static int complete_run(struct cli_context *context, void *pointer, int argc, char **argv,
			struct masu_error *err)
{
	static char nothing[] = "";
	struct place place = { .command = &root_command, .verb = "" };
	struct answer answer = { .context = context };
	for (int i = 0; i + 1 < argc; i++)
		pass_word(&place, argv[i]);
	complete(&answer, &place, argc ? argv[argc - 1] : nothing);
	printf(":%d\n", answer.files);
	return 0;
}

const struct cli_command complete_command = {
	.name = "__complete",
	.synopsis = "[WORD...]",
	.summary = "Say what can come next, for shells",
	CLI_MORE(complete_run),
	.max_args = -1,
	.raw_arguments = true,
	.hidden = true,
};

/* ---- what the shells run ---- */

/* Bash cuts words at "=" and ":" as well; what it has cut off is taken off the candidates. */
static const char bash_script[] =
	"# bash completion for masu: source <(masu completion bash)\n"
	"_masu() {\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} words=() candidates=() candidate cut\n"
	"\tread -ra words <<<\"$line\"\n"
	"\t[[ $line == *[[:blank:]] ]] && words+=('')\n"
	"\tlocal current=${words[${#words[@]} - 1]}\n"
	"\tmapfile -t candidates < <(\"${words[0]}\" __complete \"${words[@]:1}\" 2>/dev/null)\n"
	"\tlocal last=$((${#candidates[@]} - 1))\n"
	"\t[ $last -ge 0 ] || return 0\n"
	"\tlocal files=${candidates[last]}\n"
	"\tunset 'candidates[last]'\n"
	"\tcut=${current%\"${current##*[=:]}\"}\n"
	"\tCOMPREPLY=()\n"
	"\tfor candidate in \"${candidates[@]}\"; do\n"
	"\t\tcandidate=${candidate%%$'\\t'*}\n"
	"\t\tCOMPREPLY+=(\"${candidate#\"$cut\"}\")\n"
	"\tdone\n"
	"\t[ \"$files\" != :1 ] || compopt -o default 2>/dev/null\n"
	"}\n"
	"complete -F _masu masu\n";

static const char zsh_script[] =
	"#compdef masu\n"
	"# zsh completion for masu: source <(masu completion zsh), or this as _masu in $fpath\n"
	"_masu() {\n"
	"\tlocal -a lines candidates\n"
	"\tlocal line files\n"
	"\tlines=(\"${(@f)$(${words[1]} __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
	"\tfiles=${lines[-1]}\n"
	"\tlines[-1]=()\n"
	"\tfor line in \"${lines[@]}\"; do\n"
	"\t\t[ -n \"$line\" ] || continue\n"
	"\t\tcandidates+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
	"\tdone\n"
	"\t(( ${#candidates} )) && _describe masu candidates\n"
	"\t[ \"$files\" != :1 ] || _files\n"
	"}\n"
	"[ \"${funcstack[1]}\" = _masu ] && _masu || compdef _masu masu\n";

static const char fish_script[] =
	"# fish completion for masu: masu completion fish | source\n"
	"function __masu_complete\n"
	"\tset -l tokens (commandline -opc) (commandline -ct)\n"
	"\tset -l lines ($tokens[1] __complete $tokens[2..-1] 2>/dev/null)\n"
	"\ttest (count $lines) -gt 0; or return\n"
	"\ttest (count $lines) -gt 1; and printf '%s\\n' $lines[1..-2]\n"
	"\ttest $lines[-1] = :1; and __fish_complete_path (commandline -ct)\n"
	"end\n"
	"complete -c masu -f -a '(__masu_complete)'\n";

static int completion_run(struct cli_context *context, void *pointer, int argc, char **argv,
			  struct masu_error *err)
{
	static const struct {
		const char *shell, *script;
	} shells[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (streq(argv[0], shells[i].shell)) {
			fputs(shells[i].script, stdout);
			return 0;
		}
	return error_set(err, -EINVAL, "%.100s: completion is for bash, fish and zsh", argv[0]);
}

const struct cli_command completion_command = {
	.name = "completion",
	.synopsis = "SHELL",
	.summary = "Generate the autocompletion script for the specified shell: bash, fish or zsh",
	CLI_MORE(completion_run),
	.min_args = 1,
	.max_args = 1,
};
