package main

import (
	"os"
	"syscall"
)

// mapSome maps a new file and reads all of it.
func mapSome(bytes int) error {
	f, err := os.CreateTemp("", "sick")
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if _, err := f.Write(make([]byte, bytes)); err != nil {
		return err
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, bytes, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	for i := 0; i < bytes; i += 4096 {
		sum += data[i]
	}
	return nil
}

var sum byte
