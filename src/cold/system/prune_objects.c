#include "cold/system/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/human.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/session.h"
#include "cli/time_text.h"
#include "engine/disk_usage.h"
#include "engine/volume_users.h"
#include "engine/events.h"
#include "engine/images.h"
#include "state/record.h"
#include "storage/usage.h"

#define NS_PER_SECOND INT64_C(1000000000)

/* ---- filters ---- */

static int parse_one(const char *filter, unsigned kinds, struct prune_run *run,
		     struct masu_error *err)
{
	const char *until = str_after(filter, "until=");
	const char *all = str_after(filter, "all=");
	const char *label = str_after(filter, "label=");
	if (!label)
		label = str_after(filter, "label!=");
	if (until && !(kinds & PRUNE_VOLUMES)) {
		run->has_until = true;
		return time_parse_ns(until, &run->until, err);
	}
	if (all && kinds == PRUNE_VOLUMES && (streq(all, "true") || streq(all, "1"))) {
		run->all_volumes = true;
		return 0;
	}
	if (all && kinds == PRUNE_VOLUMES && (streq(all, "false") || streq(all, "0")))
		return 0;
	return label && *label ? 0 : error_set(err, -EINVAL, "invalid filter '%.100s'", filter);
}

int prune_filters_parse(struct arena *arena, const struct cli_list *filters, unsigned kinds,
			struct prune_run *run, struct masu_error *err)
{
	int r = 0;
	run->filters = filters;
	for (size_t i = 0; i < filters->count && r == 0; i++)
		r = parse_one(filters->items[i], kinds, run, err);
	return r;
}

static bool has_label(const char *wanted, const struct oci_pair *labels, size_t count)
{
	const char *equals = strchr(wanted, '=');
	size_t len = equals ? (size_t)(equals - wanted) : strlen(wanted);
	for (size_t i = 0; i < count; i++)
		if (strlen(labels[i].key) == len && memcmp(labels[i].key, wanted, len) == 0)
			return !equals || streq(labels[i].value, equals + 1);
	return false;
}

bool prune_labels_match(const struct cli_list *filters, const struct oci_pair *labels, size_t count)
{
	for (size_t i = 0; i < filters->count; i++) {
		const char *with = str_after(filters->items[i], "label=");
		const char *without = str_after(filters->items[i], "label!=");
		if ((with && !has_label(with, labels, count)) ||
		    (without && has_label(without, labels, count)))
			return false;
	}
	return true;
}

/* What was made later than "until" stays; where it is not known when, too. */
bool prune_old_enough(const struct prune_run *run, const char *created)
{
	int64_t seconds;
	if (!run->has_until)
		return true;
	return time_parse_rfc3339(created, &seconds) == 0 &&
	       seconds < run->until / NS_PER_SECOND + (run->until % NS_PER_SECOND > 0);
}

static void tell(struct engine *engine, const char *type, uint64_t bytes)
{
	char text[24];
	const struct oci_pair reclaimed = { "reclaimed", text };
	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	event_emit(engine, type, "prune", "", &reclaimed, 1);
}

/* Of what is printed: the heading before the first, a blank line behind the last. */
struct listing {
	const char *heading;
	size_t count;
};

static void list_begin(struct listing *listing)
{
	if (listing->count++ == 0)
		puts(listing->heading);
}

static void list_end(const struct listing *listing)
{
	if (listing->count)
		putchar('\n');
}

/* ---- containers ---- */

static bool is_stopped(const struct container *container)
{
	return container->status == CONTAINER_CREATED || container->status == CONTAINER_EXITED ||
	       container->status == CONTAINER_DEAD;
}

/* It runs by now, or is gone: not an error. */
static bool has_changed(int r)
{
	return r == -EBUSY || r == -ENOENT;
}

int prune_containers(struct prune_run *run, struct masu_error *err)
{
	struct listing listing = { .heading = "Deleted Containers:" };
	struct container *list;
	size_t count;
	uint64_t before = run->reclaimed;
	int result = 0;
	int r = engine_list(run->engine, run->arena, true, &list, &count, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		const struct container *container = &list[i];
		struct masu_error why = { 0 };
		uint64_t bytes = 0, total;
		if (!is_stopped(container) || !prune_old_enough(run, container->created) ||
		    !prune_labels_match(run->filters, container->config.labels,
					container->config.label_count))
			continue;
		engine_size(run->engine, run->arena, container, &bytes, &total, NULL);
		r = engine_remove(run->engine, container->id, 0, &why);
		if (r == 0) {
			list_begin(&listing);
			puts(container->id);
			run->reclaimed += bytes;
		} else if (!has_changed(r)) {
			session_report(&why);
			result = error_set(err, r, "not all stopped containers were removed");
		}
	}
	list_end(&listing);
	tell(run->engine, "container", run->reclaimed - before);
	return result;
}

/* ---- volumes ---- */

static bool is_used(const struct container *list, size_t count, const char *volume)
{
	for (size_t i = 0; i < count; i++)
		if (volume_is_mounted_by(&list[i], volume))
			return true;
	return false;
}

/* A container whose record cannot be read may use any volume. */
static int check_all_known(struct engine *engine, struct arena *arena, const struct container *list,
			   size_t count, struct masu_error *err)
{
	const char **ids;
	size_t id_count;
	_cleanup_close_ int dir =
		openat(engine->root_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? error_errno(err, -errno, "%s/containers", engine->root)
			: record_list(dir, arena, &ids, &id_count, err);
	for (size_t i = 0; r == 0 && i < id_count; i++) {
		struct container container;
		size_t at = 0;
		if (strlen(ids[i]) != ID_LENGTH)
			continue;
		while (at < count && !streq(list[at].id, ids[i]))
			at++;
		if (at < count)
			continue;
		r = engine_load(engine, arena, ids[i], &container, err);
		if (r == 0)
			container_close(&container);
		if (r == -ENOENT)
			r = 0;
		if (r < 0)
			return error_wrap(err, "container %.12s may use any volume", ids[i]);
	}
	return r;
}

static int prune_volumes_locked(struct prune_run *run, struct masu_error *err)
{
	struct listing listing = { .heading = "Deleted Volumes:" };
	struct container *containers = NULL;
	struct volume *list = NULL;
	size_t count = 0, container_count = 0;
	struct engine *engine = run->engine;
	int r = engine_list(engine, run->arena, true, &containers, &container_count, err);
	if (r == 0)
		r = check_all_known(engine, run->arena, containers, container_count, err);
	if (r == 0)
		r = volume_list(engine->root_fd, engine->root, run->arena, &list, &count, err);
	for (size_t i = 0; i < count && r == 0; i++) {
		const struct volume *volume = &list[i];
		if ((!run->all_volumes && !volume->anonymous) ||
		    is_used(containers, container_count, volume->name) ||
		    !prune_labels_match(run->filters, volume->labels, volume->label_count))
			continue;
		uint64_t bytes = disk_usage_of_volume(engine, volume->name);
		r = volume_remove(engine->root_fd, volume->name, err);
		if (r == -ENOENT)
			r = 0;
		if (r < 0)
			break;
		list_begin(&listing);
		puts(volume->name);
		run->reclaimed += bytes;
		event_volume(engine, volume->name, "destroy");
	}
	list_end(&listing);
	return r;
}

int prune_volumes(struct prune_run *run, struct masu_error *err)
{
	uint64_t before = run->reclaimed;
	int r = engine_volumes_lock(run->engine, true, err);
	if (r < 0)
		return r;
	r = prune_volumes_locked(run, err);
	engine_volumes_unlock(run->engine);
	if (r == 0)
		tell(run->engine, "volume", run->reclaimed - before);
	return r;
}

/* ---- images ---- */

struct image_listing {
	struct listing listing;
	struct engine *engine;
};

static void print_image_event(void *data, const struct engine_images_event *event)
{
	struct image_listing *images = data;
	if (event->image)
		image_event(images->engine->runroot, event->untagged ? "untag" : "delete",
			    event->image, NULL);
	list_begin(&images->listing);
	printf("%s: %s\n", event->untagged ? "untagged" : "deleted", event->name);
}

static int image_labels_match(struct prune_run *run, const struct image *image)
{
	const struct image_config *config = &image->config;
	struct oci_pair *labels = arena_array(run->arena, struct oci_pair, config->label_count + 1);
	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < config->label_count; i++)
		labels[i] = (struct oci_pair) { config->labels[i].key, config->labels[i].value };
	return prune_labels_match(run->filters, labels, config->label_count);
}

/* One name after the other, so that a container which comes to use it meanwhile keeps the rest;
 * the last one takes the image with it. */
static int remove_image(struct prune_run *run, const struct image *image, const struct image *names,
			size_t name_count, struct image_listing *listing, struct masu_error *err)
{
	int r = 0;
	for (size_t i = 0; i < name_count && r == 0; i++) {
		if (!streq(names[i].id, image->id))
			continue;
		r = engine_image_remove(run->engine->root_fd, run->engine->storage_driver,
					names[i].reference ? names[i].reference : image->id, 0,
					print_image_event, listing, err);
	}
	return has_changed(r) ? 0 : r;
}

int prune_images(struct prune_run *run, struct masu_error *err)
{
	struct image_listing listing = { { .heading = "Deleted Images:" }, run->engine };
	struct disk_usage usage;
	struct image *names;
	size_t name_count;
	uint64_t after = 0;
	int r = engine_disk_usage(run->engine, run->arena, &usage, err);
	if (r == 0)
		r = image_list(run->engine->root_fd, run->arena, &names, &name_count, err);
	for (size_t i = 0; r == 0 && i < usage.image_sum.count; i++) {
		const struct image *image = &usage.images[i].image;
		if (usage.images[i].containers || (image->reference && !run->all_images) ||
		    !prune_old_enough(run, image->created))
			continue;
		int match = image_labels_match(run, image);
		if (match < 0)
			return error_set(err, match, "out of memory");
		if (match)
			r = remove_image(run, image, names, name_count, &listing, err);
	}
	list_end(&listing.listing);
	if (r == 0 && listing.listing.count)
		r = engine_image_bytes(run->engine, run->arena, &after, err);
	if (r < 0)
		return r;
	uint64_t freed = listing.listing.count && usage.image_sum.bytes > after
				 ? usage.image_sum.bytes - after
				 : 0;
	run->reclaimed += freed;
	tell(run->engine, "image", freed);
	return 0;
}
