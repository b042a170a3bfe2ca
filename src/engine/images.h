/*
 * Removing images and what nobody needs any more: the part of the image store that has to know
 * storage and containers too.
 *
 * Who keeps what: an entry of index.json keeps all that its document leads to, be that an image, an
 * artifact or an index of any platforms, and the layers of the images among it (image_reach()); a
 * container keeps the layers that its container.json lists under "Layers", and its image ("Image")
 * from being removed without force. Everything else is garbage.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "engine/engine.h"
#include "image/store.h"
#include "storage/storage.h"

struct engine_images_event {
	bool untagged;		   /* else deleted */
	const char *name;	   /* "busybox:local", "sha256:…" */
	const struct image *image; /* that it is about; NULL for a layer */
};
typedef void (*engine_images_report)(void *data, const struct engine_images_event *event);

#define ENGINE_IMAGE_FORCE 1u

/*
 * `rmi`: takes the name away, and where it was the image's last, deletes the image and the layers
 * that only it had. By id: with all its names, which takes force where there are several. Refused
 * with docker's messages while a container uses it: -EBUSY. Reports what was done as docker prints
 * it, when it is durable.
 */
int engine_image_remove(int root_fd, const char *storage_driver, const char *name, unsigned flags,
			engine_images_report report, void *data, struct masu_error *err);

/*
 * Brackets an edit of more than the index, under image_store_lock(): in between, a crash leaves
 * blobs and layers that no index mentions. begin clears up after one that crashed before.
 */
int engine_images_begin(int root_fd, int images_fd, const struct storage_ops *ops,
			struct storage *storage, struct masu_error *err);
void engine_images_end(int images_fd);

/*
 * Removes every blob and layer that nobody keeps; only under image_store_lock(). Removes nothing
 * where an image or a container's record cannot be read, because then nobody knows.
 */
int engine_images_collect(int root_fd, int images_fd, const struct storage_ops *ops,
			  struct storage *storage, engine_images_report report, void *data,
			  struct masu_error *err);

/*
 * Where an image was removed while containers used it, the layers that were kept for them go with
 * the last: nothing but one system call where there are none such. Waits for the store's lock.
 */
void engine_images_collect_orphans(int root_fd, const char *storage_driver);
/*
 * The same for who has removed a container, behind the reply: by another process, which nobody
 * waits for.
 */
void engine_images_collect_behind(const struct engine *engine);

/* Below the root: that there are such. */
#define ENGINE_ORPHANS IMAGES_DIR "/" IMAGES_PRIVATE "/orphans"
#define COLLECT_VERB   "__collect" /* of masu-more */
