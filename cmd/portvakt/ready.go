package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
)

// ready names what keeps the service from its work (contract §3, /readyz).
func (v *service) ready(ctx context.Context) map[string]string {
	missing := map[string]string{}
	switch has, wants, err := v.db.Schema(ctx); {
	case err != nil:
		missing["database"] = "the database does not answer"
	case has != wants:
		missing["schema"] = fmt.Sprintf("the database has schema %d, this program needs %d", has, wants)
	}
	if path, lite := strings.CutPrefix(v.settings.Database, "sqlite:"); lite && full(filepath.Dir(path)) {
		missing["storage"] = "the disk that holds the database is full"
	}
	return missing
}

// enough is what must be free beside a SQLite file: some commits of the largest group (store.maxGroup).
const enough = 1 << 20 // bytes

// full reports whether the disk of a folder has no room for further changes. One that cannot be asked is not called full.
func full(folder string) bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(folder, &disk); err != nil {
		return false
	}
	return uint64(disk.Bavail)*uint64(disk.Bsize) < enough
}
