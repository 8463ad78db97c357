package main

/*
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
	struct node *next;
	char *name;
	char *value;
};

// Takes a query string apart into a list, and renders the list as JSON: what a handler in C does all day.
static char *answer(const char *query) {
	struct node *first = NULL;
	char *copy = strdup(query), *rest = copy;
	size_t length = 3;
	for (char *field; (field = strsep(&rest, "&")) != NULL;) {
		char *value = strchr(field, '=');
		if (value == NULL)
			continue;
		*value++ = 0;
		struct node *node = malloc(sizeof *node);
		node->name = strdup(field);
		node->value = strdup(value);
		node->next = first;
		first = node;
		length += strlen(field) + strlen(value) + 6;
	}
	free(copy);
	char *out = malloc(length), *at = out;
	*at++ = '{';
	while (first != NULL) {
		struct node *node = first;
		at += sprintf(at, "\"%s\":\"%s\"%s", node->name, node->value, node->next ? "," : "");
		first = node->next;
		free(node->name);
		free(node->value);
		free(node);
	}
	strcpy(at, "}");
	return out;
}
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// serve answers `rounds` requests on the loopback interface, from 8 connections, and prints a line of JSON.
func serve(rounds int) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := C.CString(r.URL.RawQuery)
		text := C.answer(query)
		io.WriteString(w, C.GoString(text))
		C.free(unsafe.Pointer(text))
		C.free(unsafe.Pointer(query))
	})}
	go server.Serve(listener)
	defer server.Close()

	fields := make([]string, 40)
	for i := range fields {
		fields[i] = fmt.Sprintf("field%d=some+value+%d", i, i*i)
	}
	url := "http://" + listener.Addr().String() + "/?" + strings.Join(fields, "&")
	const clients = 8
	var (
		wait  sync.WaitGroup
		times [clients][]time.Duration
		errs  [clients]error
	)
	start := time.Now()
	for c := range clients {
		wait.Go(func() { times[c], errs[c] = requests(url, rounds/clients) })
	}
	wait.Wait()
	took := time.Since(start)
	all := slices.Concat(times[:]...)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	slices.Sort(all)
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"requests_per_second": float64(len(all)) / took.Seconds(),
		"p50_us":              float64(all[len(all)/2].Microseconds()),
		"p99_us":              float64(all[len(all)*99/100].Microseconds()),
	})
}

func requests(url string, n int) (times []time.Duration, err error) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for range n {
		start := time.Now()
		response, err := client.Get(url)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		if len(body) < 1000 {
			return nil, fmt.Errorf("an answer of %d bytes", len(body))
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}
