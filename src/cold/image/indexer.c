#include "cold/image/indexer.h"

#include <errno.h>
#include <string.h>

#include "cold/image/erofs_tree.h"
#include "cold/image/erofs_write.h"

static int take_extent(struct erofs_tree *tree, const struct frame_data *data,
		       struct masu_error *err)
{
	struct frame_extent extent;
	memcpy(&extent, data->data, sizeof(extent));
	return erofs_tree_extent(tree, &extent, err);
}

static int receive_all(struct frame_channel *channel, struct erofs_tree *tree,
		       struct masu_error *err)
{
	for (;;) {
		enum frame_type type;
		struct frame_entry entry;
		struct frame_data data;
		int r = frame_receive(channel, &type, &entry, &data);
		if (r < 0)
			return error_errno(err, r, "frames of the decoder");
		switch (type) {
		case FRAME_ENTRY:
			r = erofs_tree_entry(tree, &entry, err);
			break;
		case FRAME_EXTENT:
			r = take_extent(tree, &data, err);
			break;
		case FRAME_UNPADDED:
			erofs_tree_unpadded(tree);
			break;
		case FRAME_DATA:
			return error_set(err, -EPROTO, "frames of the decoder: for a writer");
		case FRAME_DONE:
			return erofs_tree_settle(tree, err);
		}
		if (r < 0)
			return r;
	}
}

int index_layer(const struct index_job *job, struct worker_report *report, struct masu_error *err)
{
	struct frame_channel *channel;
	struct erofs_tree *tree;
	int r = frame_channel_new(job->in, &channel);
	if (r < 0)
		return error_set(err, r, "out of memory");
	r = erofs_tree_new(job->random, job->now, &tree);
	if (r < 0) {
		frame_channel_free(channel);
		return error_set(err, r, "out of memory");
	}
	r = receive_all(channel, tree, err);
	if (r == 0)
		r = erofs_write(tree, job->index_fd, job->tar_fd, job->marks_fd, err);
	if (r == 0) {
		report->bytes = tree->bytes;
		report->entries = tree->entries;
	}
	erofs_tree_free(tree);
	frame_channel_free(channel);
	return r;
}
