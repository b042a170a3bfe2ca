/* After the last entry: what is alive in the tree, and the order of names that an index has. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cold/image/erofs_tree.h"

static bool is_directory(const struct erofs_node *node)
{
	return S_ISDIR(node->mode);
}

/* A name whose directory is alive has its node alive. Names are older than what is in them. */
static uint32_t mark_alive(struct erofs_tree *t)
{
	uint32_t alive = 0;
	for (uint32_t i = 0; i < t->node_count; i++) {
		t->nodes[i].flags &= (uint8_t)~EROFS_NODE_ALIVE;
		t->nodes[i].links = is_directory(&t->nodes[i]) ? 2 : 0;
		if (is_directory(&t->nodes[i]))
			t->nodes[i].names.count = 0;
	}
	t->nodes[0].flags |= EROFS_NODE_ALIVE;
	for (uint32_t i = 0; i < t->name_count; i++) {
		const struct erofs_name *name = &t->names[i];
		struct erofs_node *parent = &t->nodes[name->parent];
		if (name->node == EROFS_NONE || !(parent->flags & EROFS_NODE_ALIVE))
			continue;
		struct erofs_node *node = &t->nodes[name->node];
		node->flags |= EROFS_NODE_ALIVE;
		if (!is_directory(node))
			node->links++;
		else
			parent->links++;
		if (is_directory(node) && name->opaque)
			node->flags |= EROFS_NODE_OPAQUE;
		parent->names.count++;
		alive++;
	}
	return alive;
}

static bool comes_before(const struct erofs_tree *t, uint32_t a, uint32_t b)
{
	const struct erofs_name *left = &t->names[a], *right = &t->names[b];
	size_t len = left->len < right->len ? left->len : right->len;
	int order = memcmp(left->text, right->text, len);
	return order ? order < 0 : left->len < right->len;
}

static void sift_down(const struct erofs_tree *t, uint32_t *heap, uint32_t at, uint32_t count)
{
	uint32_t moving = heap[at];
	for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && comes_before(t, heap[child], heap[child + 1]))
			child++;
		if (!comes_before(t, moving, heap[child]))
			break;
		heap[at] = heap[child];
	}
	heap[at] = moving;
}

/* By the bytes of the names. qsort(3) asks the system how much memory there is, which is forbidden.
 */
static void sort(const struct erofs_tree *t, uint32_t *names, uint32_t count)
{
	for (uint32_t i = count / 2; i-- > 0;)
		sift_down(t, names, i, count);
	for (uint32_t end = count; end-- > 1;) {
		uint32_t last = names[end];
		names[end] = names[0];
		names[0] = last;
		sift_down(t, names, 0, end);
	}
}

/* Every directory's names behind each other in order[], each directory's sorted. */
static void sort_names(struct erofs_tree *t)
{
	uint32_t next = 0;
	for (uint32_t i = 0; i < t->node_count; i++) {
		struct erofs_node *node = &t->nodes[i];
		if (!is_directory(node))
			continue;
		node->names.first = next;
		next += node->names.count;
		node->names.count = 0;
	}
	for (uint32_t i = 0; i < t->name_count; i++) {
		struct erofs_node *parent = &t->nodes[t->names[i].parent];
		if (t->names[i].node != EROFS_NONE && (parent->flags & EROFS_NODE_ALIVE))
			t->order[parent->names.first + parent->names.count++] = i;
	}
	for (uint32_t i = 0; i < t->node_count; i++) {
		const struct erofs_node *node = &t->nodes[i];
		if (is_directory(node) && node->names.count > 1)
			sort(t, t->order + node->names.first, node->names.count);
	}
}

int erofs_tree_settle(struct erofs_tree *t, struct masu_error *err)
{
	int r = erofs_tree_finish_file(t, err);
	if (r < 0)
		return r;
	free(t->table); /* nothing is looked up any more */
	t->table = NULL;
	t->order_count = mark_alive(t);
	for (uint32_t i = 0; i < t->node_count; i++)
		if (S_ISREG(t->nodes[i].mode) && (t->nodes[i].flags & EROFS_NODE_ALIVE))
			t->bytes += t->nodes[i].size;
	t->order = malloc((t->order_count + 1) * sizeof(*t->order));
	if (!t->order)
		return error_set(err, -ENOMEM, "out of memory");
	sort_names(t);
	return 0;
}
