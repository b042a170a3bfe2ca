/* The drivers, for the table in storage.c. */
#pragma once

#include "storage/storage.h"

extern const struct storage_ops overlay_ops;
