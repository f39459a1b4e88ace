package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	sealingName  = "sealing.key"
	manifestName = "manifest.json"
	lockName     = ".lock"
	tempSuffix   = ".tmp"

	maxFile = 1 << 20 // bytes; a manifest of 1,000 keys has a third of that

	// restore is what to do about every file that only a backup can mend.
	restore = "restore the folder from a backup"
)

// folder is the directory of a ring. Each lasting change goes through step.
type folder struct {
	path string
	cut  func(what string) error // tests end the work here, as a crash would; else nil
}

func (f folder) file(name string) string { return filepath.Join(f.path, name) }

func (f folder) step(what string) error {
	if f.cut == nil {
		return nil
	}
	return f.cut(what)
}

// fault is the one line an operator reads: the file, what is wrong, what to do.
func (f folder) fault(name, wrong, do string) error {
	return fmt.Errorf("keyring: %s %s: %s", f.file(name), wrong, do)
}

// check looks at the directory itself: who may write in it may swap the keys.
func (f folder) check() error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("keyring: %s: %w", f.path, ErrMissing)
	case err != nil:
		return fmt.Errorf("keyring: %s cannot be read (%w): give the folder to the user that runs portvakt", f.path, bare(err))
	case !info.IsDir():
		return fmt.Errorf("keyring: %s is not a folder: name a folder for the keys", f.path)
	case info.Mode()&0o002 != 0:
		return fmt.Errorf("keyring: %s can be written by everyone (mode %04o): chmod 700 it, and be sure that nobody changed a key",
			f.path, info.Mode().Perm())
	}
	return nil
}

// read gives the content of a file of the ring and its stamp.
func (f folder) read(name string) ([]byte, fs.FileInfo, error) {
	// The stamp is older than the content or equal to it: a change between the
	// two lines is seen again by the next Reload, never missed.
	info, err := os.Stat(f.file(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w: %w", f.fault(name, "is missing", restore), fs.ErrNotExist)
	case err != nil:
		return nil, nil, f.fault(name, "cannot be read ("+bare(err).Error()+")", "give the folder to the user that runs portvakt")
	case !info.Mode().IsRegular():
		return nil, nil, f.fault(name, "is not a regular file", restore)
	case info.Mode()&0o007 != 0:
		return nil, nil, f.fault(name, fmt.Sprintf("is open to everyone (mode %04o)", info.Mode().Perm()),
			"chmod 600 it, and rotate the keys if someone else may have read it")
	case info.Size() > maxFile:
		return nil, nil, f.fault(name, "is damaged (over 1 MiB)", restore)
	}
	data, err := os.ReadFile(f.file(name))
	if err != nil {
		return nil, nil, f.fault(name, "cannot be read ("+bare(err).Error()+")", "give the folder to the user that runs portvakt")
	}
	return data, info, nil
}

// bare is an error of package os without the path that fault writes already.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// changed reports whether a file is no longer the one of the stamp.
func (f folder) changed(name string, stamp fs.FileInfo) (bool, error) {
	info, err := os.Stat(f.file(name))
	if err != nil {
		return false, f.fault(name, "cannot be read ("+bare(err).Error()+")", restore)
	}
	same := os.SameFile(info, stamp) && info.Size() == stamp.Size() && info.ModTime().Equal(stamp.ModTime())
	return !same, nil
}

// held lists what the folder holds beside the four names that do not matter.
func (f folder) held() ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, fmt.Errorf("keyring: list %s: %w", f.path, bare(err))
	}
	var names []string
	for _, e := range entries {
		switch e.Name() {
		case "README.md", ".gitignore", lockName, "lost+found":
		default:
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// write makes or replaces a file. It is there whole and lasting, or not at all;
// what a crash leaves is <name>.tmp, which the next change removes.
func (f folder) write(name string, data []byte) error {
	if err := f.stage(name, data); err != nil {
		return err
	}
	return f.publish(name)
}

// stage is the first half of write, and all of it that needs room on the disk.
func (f folder) stage(name string, data []byte) error {
	temp := name + tempSuffix
	if err := f.step("create " + temp); err != nil {
		return err
	}
	file, err := os.OpenFile(f.file(temp), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	err = f.fill(file, temp, data)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("keyring: write %s: %w", f.file(temp), bare(err))
	}
	return nil
}

// publish is the second half: the staged file gets its name.
func (f folder) publish(name string) error {
	temp := name + tempSuffix
	if err := f.step("rename " + temp); err != nil {
		return err
	}
	if err := os.Rename(f.file(temp), f.file(name)); err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	return f.sync()
}

func (f folder) fill(file *os.File, name string, data []byte) error {
	// A leftover of another mode keeps it through O_TRUNC; a umask may have cut it.
	if err := file.Chmod(0o600); err != nil {
		return err
	}
	if err := f.adopt(file); err != nil {
		return err
	}
	if err := f.step("write " + name); err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := f.step("sync " + name); err != nil {
		return err
	}
	return file.Sync()
}

// adopt gives a file that root has made to the owner of the folder, so that a
// change by root does not lock the service out of its own keys.
func (f folder) adopt(file *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}

// sync makes the names in the folder lasting.
func (f folder) sync() error {
	if err := f.step("sync folder"); err != nil {
		return err
	}
	return syncDir(f.path)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("keyring: sync %s: %w", path, err)
	}
	return nil
}

// lock waits until no other process, and no other call in this one, is inside
// a change of the folder. The kernel lets go of the lock when its holder dies.
func (f folder) lock() (func(), error) {
	file, err := os.OpenFile(f.file(lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keyring: %s cannot be opened (%w): let the user that runs this command write in the folder",
			f.file(lockName), bare(err))
	}
	err = f.adopt(file)
	for err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing lets go
		}
		if errors.Is(err, syscall.EINTR) {
			err = nil
		}
	}
	_ = file.Close()
	return nil, fmt.Errorf("keyring: lock %s: %w", f.file(lockName), bare(err))
}

// sweep removes what no manifest needs: unfinished files, and key files that
// the manifest does not name and nobody has touched for 30 days (keys of a
// Rotate that failed). A file that cannot be removed harms nothing and is tried
// again by the next change.
func (f folder) sweep(m manifest, now time.Time) {
	names, err := f.held()
	if err != nil {
		return
	}
	named := make(map[string]bool)
	for _, e := range m.Keys {
		named[e.file()] = true
	}
	for _, name := range names {
		info, err := os.Lstat(f.file(name))
		if err != nil || !strings.HasPrefix(name, signingPrefix) && name != manifestName+tempSuffix {
			continue
		}
		unfinished := strings.HasSuffix(name, tempSuffix)
		if unfinished || !named[name] && now.Sub(info.ModTime()) > keepRetired {
			_ = os.Remove(f.file(name))
		}
	}
}
