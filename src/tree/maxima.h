/* The maxima of one entry of a tree, whoever made it. */
#pragma once

#define LIMIT_PATH	   4095u /* bytes of a path or link target */
#define LIMIT_DEPTH	   512u	 /* components of a path */
#define LIMIT_COMPONENT	   255u
#define LIMIT_XATTR_NAME   255u	    /* as the kernel's */
#define LIMIT_XATTR_VALUE  65536u   /* as the kernel's */
#define LIMIT_XATTRS_TOTAL 1048576u /* bytes of all names and values of one entry */
