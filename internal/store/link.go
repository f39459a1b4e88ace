package store

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// link is one connection to Postgres, with the statements that are prepared on it. pgconn speaks the protocol; pgx would
// add codecs for some eighty types, 3 MiB of program, to the three that the schema has: text, bytea and bigint.
type link struct {
	conn       *pgconn.PgConn
	known      map[string]*pgconn.StatementDescription // by text
	made       int                                     // statements so far: each has a name of its own
	born, used time.Time
}

// query is a statement, and what is called for each of its rows; nil: they are not wanted.
type query struct {
	sql   string
	args  []any
	each  func(scanner) error
	hit   *int64 // gets the number of rows that it wrote, if that is wanted
	alike bool   // may be made one with others of its text: inserts rows of its own, or reads by a key
	over  bool   // its result was consumed whole
}

var binaryResults = []int16{pgBinary}

const pgText, pgBinary = 0, 1 // formats on the wire

// run sends queries in one round trip, also those that it prepares first. Outside a transaction they are one.
func (l *link) run(ctx context.Context, queries []query) error {
	err := l.exchange(ctx, queries)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "0A000", "26000", "25006": // another schema, a server that forgot, or one that only reads by now
			l.close()
		}
	}
	return err
}

func (l *link) exchange(ctx context.Context, queries []query) error {
	if len(queries) == 1 {
		if s := l.known[queries[0].sql]; s != nil {
			values, formats, err := encode(queries[0].args)
			if err != nil {
				return err
			}
			return consume(l.conn.ExecStatement(ctx, s, values, formats, binaryResults), queries[0])
		}
	}
	pipe := l.conn.StartPipeline(ctx)
	err := l.pipeline(pipe, queries)
	if closed := pipe.Close(); err == nil {
		err = closed
	}
	return err
}

func (l *link) pipeline(pipe *pgconn.Pipeline, queries []query) error {
	names := make([]string, len(queries)) // of what is prepared now
	for i, q := range queries {
		values, formats, err := encode(q.args)
		if err != nil {
			return err // nothing has gone out, and closing the pipe now closes the connection
		}
		if s := l.known[q.sql]; s != nil {
			pipe.SendQueryStatement(s, values, formats, binaryResults)
			continue
		}
		if j := slices.IndexFunc(queries[:i], func(e query) bool { return e.sql == q.sql }); j >= 0 && names[j] != "" {
			pipe.SendQueryPrepared(names[j], values, formats, binaryResults) // it was prepared a moment ago
			continue
		}
		if len(l.known) < linkTexts {
			l.made++
			names[i] = "s" + strconv.Itoa(l.made)
		}
		pipe.SendPrepare(names[i], q.sql, nil)
		pipe.SendQueryPrepared(names[i], values, formats, binaryResults)
	}
	if err := pipe.Sync(); err != nil {
		return err
	}
	for i, q := range queries {
		got, err := pipe.GetResults()
		if s, ok := got.(*pgconn.StatementDescription); ok && err == nil {
			if s.Name = names[i]; s.Name != "" {
				l.known[q.sql] = s
			}
			got, err = pipe.GetResults()
		}
		if err != nil {
			return err
		}
		result, ok := got.(*pgconn.ResultReader)
		if !ok {
			return fmt.Errorf("store: Postgres answered a statement with %T", got)
		}
		if err := consume(result, q); err != nil {
			return err
		}
		queries[i].over = true
	}
	return nil
}

func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // it is of no use any more
}

// consume reads a result to its end. A fault of each comes before the server's.
func consume(result *pgconn.ResultReader, q query) error {
	var fault error
	if q.each != nil {
		for r := (&row{}); fault == nil && result.NextRow(); {
			r.fields, r.values = result.FieldDescriptions(), result.Values()
			fault = q.each(r)
		}
	}
	tag, err := result.Close()
	if fault != nil {
		return fault
	}
	if q.hit != nil && err == nil {
		*q.hit = tag.RowsAffected()
	}
	return err
}

// encode writes arguments for the wire. Texts go as they are, so that none is ever read as another type.
func encode(args []any) (values [][]byte, formats []int16, err error) {
	values, formats = make([][]byte, len(args)), make([]int16, len(args))
	buf := make([]byte, 0, 32*len(args))
	for i, arg := range args {
		switch arg.(type) {
		case string, []byte, int64:
		default:
			if arg, err = driver.DefaultParameterConverter.ConvertValue(arg); err != nil {
				return nil, nil, fmt.Errorf("store: argument $%d: %w", i+1, err)
			}
		}
		from := len(buf)
		switch v := arg.(type) {
		case nil:
		case []byte:
			values[i], formats[i] = v, pgBinary
		case string:
			buf = append(buf, v...)
			values[i], formats[i] = buf[from:], pgBinary
		case int64:
			buf = strconv.AppendInt(buf, v, 10)
			values[i], formats[i] = buf[from:], pgText
		default:
			return nil, nil, fmt.Errorf("store: argument $%d is a %T", i+1, arg)
		}
	}
	return values, formats, nil
}

// row is a row of a result in binary.
type row struct {
	fields []pgconn.FieldDescription
	values [][]byte
}

func (r *row) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("store: %d columns for %d destinations", len(r.values), len(dest))
	}
	for i, value := range r.values {
		if err := decode(dest[i], r.fields[i].DataTypeOID, value); err != nil {
			return fmt.Errorf("store: column %s: %w", r.fields[i].Name, err)
		}
	}
	return nil
}

// decode reads a value of the types bytea (17), bigint (20), int (23) and text (25, 1043, and 19 of the catalogue).
func decode(dest any, oid uint32, value []byte) error {
	switch d := dest.(type) {
	case *[]byte:
		if oid == 17 || oid == 25 {
			*d = bytes.Clone(value)
			return nil
		}
	case *string:
		if value != nil && (oid == 25 || oid == 1043 || oid == 19) {
			*d = string(value)
			return nil
		}
	case *int64:
		switch {
		case oid == 20 && len(value) == 8:
			*d = int64(binary.BigEndian.Uint64(value))
			return nil
		case oid == 23 && len(value) == 4:
			*d = int64(int32(binary.BigEndian.Uint32(value)))
			return nil
		}
	}
	return fmt.Errorf("a value of type %d (null: %t) does not fit into %T", oid, value == nil, dest)
}
