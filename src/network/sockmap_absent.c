/* In the hot program: sockmap.h is for masu-more, which is the monitor of containers that want it.
 */
#include <errno.h>

#include "network/sockmap.h"

int sockmap_attach(const struct sockmap_request *request, struct masu_error *err)
{
	(void)request;
	return error_set(err, -EOPNOTSUPP, "sockmap: masu-more is missing");
}
