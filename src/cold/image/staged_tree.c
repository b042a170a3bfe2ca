#include "cold/image/staged_tree.h"

#include <unistd.h>

int staged_tree(struct staging *staging, producer_job tell, void *data, struct staged_blob *ret,
		char ret_tar[DIGEST_MAX], uint64_t *ret_bytes, struct masu_error *err)
{
	struct decoder_process *producer, *encoder;
	int tar, gzip;
	int r = producer_start(tell, data, &producer, &tar, err);
	if (r < 0)
		return r;
	r = encoder_start(tar, &encoder, &gzip, err);
	close(tar);
	if (r == 0) {
		r = staging_store(staging, gzip, ret, err);
		close(gzip);
		r = encoder_finish(encoder, r, ret_tar, ret_bytes, err);
	}
	return decoder_finish(producer, r, err);
}
