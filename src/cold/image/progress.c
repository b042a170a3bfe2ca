/*
 * What a pull shows: docker's lines, one a change of state, where stdout is no terminal; a line a
 * layer with a bar, drawn in place, where it is one.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/human.h"
#include "base/str.h"
#include "cold/image/pull.h"

#define BAR_WIDTH     50
#define REDRAW_MS     80
#define SHORT_DIGEST  12
#define DIGEST_PREFIX 7 /* "sha256:" */

static struct {
	bool terminal;
	bool drawn;
	int64_t last_ms;
	enum pull_phase shown[IMAGE_MAX_LAYERS];
} state;

static const char *short_digest(const struct pull_layer *layer)
{
	return layer->blob.digest + DIGEST_PREFIX;
}

static const char *phase_text(enum pull_phase phase)
{
	static const char *const texts[] = {
		[PULL_WAITING] = "Waiting",
		[PULL_FETCHING] = "Downloading",
		[PULL_UNPACKING] = "Download complete",
		[PULL_COMPLETE] = "Pull complete",
		[PULL_EXISTS] = "Already exists",
	};
	return texts[phase];
}

void progress_begin(const struct pull *pull)
{
	const struct image_reference *reference = &pull->reference;
	state.terminal = isatty(STDOUT_FILENO);
	state.drawn = false;
	if (pull->quiet)
		return;
	printf("%s: Pulling from %s%s%s\n", reference->tag ? reference->tag : reference->digest,
	       streq(reference->domain, "docker.io") ? "" : reference->domain,
	       streq(reference->domain, "docker.io") ? "" : "/", reference->path);
	for (size_t i = 0; i < pull->layer_count && !state.terminal; i++)
		printf("%.*s: Pulling fs layer\n", SHORT_DIGEST, short_digest(&pull->layers[i]));
	for (size_t i = 0; i < pull->layer_count; i++)
		state.shown[i] = PULL_WAITING;
	fflush(stdout);
}

static void print_bar(const struct pull_layer *layer)
{
	char bar[BAR_WIDTH + 1], done[HUMAN_MAX], all[HUMAN_MAX];
	unsigned filled = layer->blob.size
				  ? (unsigned)(layer->bytes * (BAR_WIDTH - 1) / layer->blob.size)
				  : 0;
	if (filled > BAR_WIDTH - 1)
		filled = BAR_WIDTH - 1;
	memset(bar, '=', filled);
	bar[filled] = '>';
	memset(bar + filled + 1, ' ', BAR_WIDTH - 1 - filled);
	bar[BAR_WIDTH] = '\0';
	human_size(layer->bytes, done);
	human_size(layer->blob.size, all);
	printf("[%s] %s/%s", bar, done, all);
}

/* Over what was drawn before: up to the first layer's line, each cleared to its end. */
static void redraw(const struct pull *pull)
{
	if (state.drawn)
		printf("\033[%zuA", pull->layer_count);
	for (size_t i = 0; i < pull->layer_count; i++) {
		const struct pull_layer *layer = &pull->layers[i];
		printf("%.*s: %s ", SHORT_DIGEST, short_digest(layer), phase_text(layer->phase));
		if (layer->phase == PULL_FETCHING)
			print_bar(layer);
		printf("\033[K\n");
	}
	state.drawn = true;
	state.last_ms = clock_ms();
	fflush(stdout);
}

void progress_layer(const struct pull *pull, const struct pull_layer *layer)
{
	size_t at = (size_t)(layer - pull->layers);
	bool changed = state.shown[at] != layer->phase;
	if (pull->quiet)
		return;
	state.shown[at] = layer->phase;
	if (state.terminal && (changed || clock_ms() - state.last_ms >= REDRAW_MS)) {
		redraw(pull);
	} else if (!state.terminal && changed && layer->phase != PULL_FETCHING) {
		printf("%.*s: %s\n", SHORT_DIGEST, short_digest(layer), phase_text(layer->phase));
		fflush(stdout);
	}
}

void progress_end(const struct pull *pull)
{
	if (!pull->quiet && state.terminal && pull->layer_count)
		redraw(pull);
}
