/* A C library that works in a thread of its own. It leaks on purpose. */
#ifndef PRICES_H
#define PRICES_H

/* The bytes of one price list; a prime. */
#define PRICES_LIST_BYTES 65537

/* Fetches a price list in a thread that this function makes and waits for. The bug: unless `free_list` is set, the list
   stays behind. Returns 0, or an error number. */
int prices_refresh(int free_list);

#endif
