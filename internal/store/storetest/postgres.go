// Package storetest gives tests real databases: a scratch Postgres of their own on loopback, SQLite files, and the
// conformance suite that both engines must pass.
package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is the one scratch Postgres of a test process.
type server struct {
	once  sync.Once
	err   error
	dir   string
	port  int
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd is over
	made  atomic.Int64
}

var scratch server

// Main runs the tests of a package that uses Postgres and stops the scratch server afterwards.
func Main(m *testing.M) {
	code := m.Run()
	Close()
	os.Exit(code)
}

// Close stops the scratch server. Only a TestMain that cannot end with Main needs it.
func Close() { scratch.stop() }

// Postgres gives the address of an empty database on the scratch server. The test fails if units in it waited for each other in a ring.
func Postgres(t testing.TB) string {
	t.Helper()
	scratch.once.Do(func() { scratch.err = scratch.start() })
	if scratch.err != nil {
		t.Fatalf("a scratch Postgres is needed: %v", scratch.err)
	}
	name := fmt.Sprintf("t%d", scratch.made.Add(1))
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, scratch.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noDeadlocks(t, name) })
	return scratch.url(name)
}

// noDeadlocks fails the test if Postgres had to break one of two units that waited for each other. All connections are closed by now: a backend
// counts its own deadlocks in at its end, at the latest.
func noDeadlocks(t testing.TB, name string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, scratch.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for open, until := 1, time.Now().Add(time.Minute); open > 0; time.Sleep(2 * time.Millisecond) {
		if err := conn.QueryRow(ctx, "select count(*) from pg_stat_activity where datname = $1", name).Scan(&open); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(until) {
			t.Fatalf("%d connections stay open", open)
		}
	}
	var n int
	if err := conn.QueryRow(ctx, "select deadlocks from pg_stat_database where datname = $1", name).Scan(&n); err != nil || n > 0 {
		t.Errorf("%d deadlocks, %v", n, err)
	}
}

// SQLite gives the address of a database file that does not exist yet.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "portvakt.db")
}

// Engines names both engines with a maker of empty databases.
func Engines() []Engine {
	return []Engine{{"sqlite", SQLite}, {"postgres", Postgres}}
}

// Engine is one of the two.
type Engine struct {
	Name string
	New  func(testing.TB) string
}

// blocked returns when a unit in the Postgres database at url waits for another. SQLite has one writer, which waits for the unit that calls it.
func (e Engine) blocked(t testing.TB, url string) {
	if e.Name != "postgres" {
		return
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(ctx)
	for until := time.Now().Add(30 * time.Second); Waiting(t, conn) == 0 && time.Now().Before(until); {
		time.Sleep(2 * time.Millisecond)
	}
}

// Connect gives a connection of the test's own to the Postgres database at url, until the test is over.
func Connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Waiting counts who waits for a lock in the database of conn, which may hold it: a transaction would go on seeing those who
// were connected when it first looked.
func Waiting(t testing.TB, conn *pgx.Conn) (n int) {
	t.Helper()
	_, err := conn.Exec(context.Background(), "select pg_stat_clear_snapshot()")
	if err == nil {
		err = conn.QueryRow(context.Background(), "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n)
	}
	if err != nil {
		t.Error(err)
		n = 1 << 16 // nobody waits for it
	}
	return n
}

// InRow asks one after the other, each when those before it wait, while conn holds what change touches; then change is committed. It gives the
// answers as they come.
func InRow[T any](t testing.TB, conn *pgx.Conn, change string, asks ...func() T) []T {
	t.Helper()
	if _, err := conn.Exec(context.Background(), "begin; "+change); err != nil {
		t.Fatal(err)
	}
	answers := make(chan T, len(asks))
	for i, ask := range asks {
		go func() { answers <- ask() }()
		for ; Waiting(t, conn) <= i; time.Sleep(time.Millisecond) {
			if len(answers) > 0 {
				t.Fatalf("number %d of those who should wait got %v", i, <-answers)
			}
		}
	}
	if _, err := conn.Exec(context.Background(), "commit"); err != nil {
		t.Fatal(err)
	}
	out := make([]T, len(asks))
	for i := range out {
		out[i] = <-answers
	}
	return out
}

func (s *server) url(db string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, db)
}

// Stop pauses and Continue resumes the scratch server, as an outage that answers nothing.
func Stop()     { scratch.signal(syscall.SIGSTOP) }
func Continue() { scratch.signal(syscall.SIGCONT) }

// signal reaches the server and its backends, each of which leads a process group of its own.
func (s *server) signal(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	pid := strconv.Itoa(s.cmd.Process.Pid)
	children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	for _, id := range append(strings.Fields(string(children)), pid) {
		if n, err := strconv.Atoi(id); err == nil {
			_ = syscall.Kill(n, sig)
		}
	}
}

func (s *server) start() error {
	bin, err := binDir()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "portvakt-pg-"); err != nil {
		return err
	}
	cred, err := s.credential()
	if err != nil {
		return err
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = s.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	data := filepath.Join(s.dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	for range 5 { // somebody else may be quicker at a port
		if s.port, err = freePort(); err != nil {
			return err
		}
		err = s.listen(data, run("postgres", "-D", data, "-k", s.dir, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1",
			"-c", "max_connections=300", "-c", "shared_buffers=64MB", "-c", "fsync="+fsync()))
		if err != errEnded {
			return err
		}
	}
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return fmt.Errorf("%w\n%s", err, text)
}

// fsync is off in tests: none pulls the plug, which alone would tell the difference. A benchmark pays for it.
func fsync() string {
	if bench := flag.Lookup("test.bench"); bench != nil && bench.Value.String() != "" {
		return "on"
	}
	return "off"
}

var errEnded = errors.New("postgres did not start")

// listen runs the server and returns when it answers.
func (s *server) listen(data string, cmd *exec.Cmd) error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(s.ended) }()
	for limit := time.After(time.Minute); ; {
		select {
		case <-s.ended:
			return errEnded
		case <-limit:
			return errors.New("postgres does not answer within a minute")
		case <-time.After(20 * time.Millisecond):
			if s.answers(data) {
				return nil
			}
		}
	}
}

// answers reports whether it is this server that answers at the port.
func (s *server) answers(data string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	var dir string
	return conn.QueryRow(ctx, "show data_directory").Scan(&dir) == nil && dir == data
}

// credential is who runs the server: Postgres refuses root.
func (s *server) credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(who.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(s.dir, uid, gid)
}

func (s *server) stop() {
	if s.cmd != nil {
		s.signal(syscall.SIGCONT)
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.ended
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// binDir finds the newest installed server.
func binDir() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) })
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("there is no initdb; install Postgres: apt-get install -y postgresql")
	}
	return filepath.Dir(path), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
