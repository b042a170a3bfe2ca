/* Image events: made by the command line and by masu-image, without an engine. */
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "image/image.h"
#include "state/event_log.h"
#include "state/record.h"

void image_event_named(const char *runroot, const char *action, const struct image *image,
		       const char *id, const char *name)
{
	const struct image_config *config = &image->config;
	struct masu_error err = { 0 };
	_cleanup_close_ int run_fd = -1;
	_cleanup_free_ struct oci_pair *attributes =
		calloc(config->label_count + 1, sizeof(*attributes));
	if (!attributes || state_open_runroot(runroot, &run_fd, &err) < 0) {
		log_debug("event image %s: %s", action, err.message);
		return;
	}
	for (size_t i = 0; i < config->label_count; i++)
		attributes[i] =
			(struct oci_pair) { config->labels[i].key, config->labels[i].value };
	attributes[config->label_count] = (struct oci_pair) { "name", name };
	const struct event event = { "image", action, id, attributes, config->label_count + 1 };
	int r = event_log_append(run_fd, &event, 1);
	if (r < 0)
		log_debug("event image %s: %s", action, strerror(-r));
}

void image_event(const char *runroot, const char *action, const struct image *image,
		 const char *name)
{
	image_event_named(runroot, action, image, image->id, name ? name : image->id);
}
