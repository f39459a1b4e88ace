package store

import (
	"cmp"
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// pipeline is room for what travels together. Of n statements of one text Postgres spends most of its time on what it does n times over: it takes a message,
// looks up a plan, starts it and ends it. So those that are alike are made one: an insert of n rows, a read of n keys.
type pipeline struct {
	parts   []part
	queries []query
}

type part struct {
	query
	asker *asking
}

// alike names n statements of one text.
type alike struct {
	sql string
	n   int
}

// alikeMost is how many are made one at most. Their number is a power of two, so that a connection keeps few texts of them.
const alikeMost = 8

func newPipeline() *pipeline {
	return &pipeline{parts: make([]part, 0, 2*gatherMost), queries: make([]query, 0, 2*gatherMost)}
}

// clear lets go of what it was last used for.
func (p *pipeline) clear() {
	clear(p.parts[:cap(p.parts)])
	clear(p.queries[:cap(p.queries)])
}

// of gives what all ask, and tells each reader where in it their answer is. What holds rows comes last: it waits for no table.
func (p *pipeline) of(all []*asking, texts *sync.Map) []query {
	parts, queries := p.parts[:0], p.queries[:0]
	for _, a := range all {
		for _, q := range a.asks {
			parts = append(parts, part{query: q, asker: a})
		}
	}
	if len(parts) > 1 {
		slices.SortStableFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(a.holds(), b.holds()), strings.Compare(a.sql, b.sql)) })
	}
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[0].alike && parts[n].sql == parts[0].sql {
			n++
		}
		n = min(alikeMost, 1<<(bits.Len(uint(n))-1))
		for _, one := range parts[:n] {
			one.asker.at = len(queries)
		}
		queries = append(queries, together(parts[:n], texts))
		parts = parts[n:]
	}
	return queries
}

// holds is 1 for a use, and 0 for what touches only rows of its own.
func (p part) holds() int {
	if p.hit != nil {
		return 1
	}
	return 0
}

// together makes one statement of those that are alike.
func together(parts []part, texts *sync.Map) query {
	first, n := parts[0], len(parts)
	if n == 1 {
		return first.query
	}
	out := query{args: make([]any, 0, n*len(first.args)), alike: true}
	for _, one := range parts {
		out.args = append(out.args, one.args...)
	}
	key := alike{first.sql, n}
	sql, ok := texts.Load(key)
	if !ok {
		made := rowsSQL(first.sql, n, len(first.args))
		if first.each != nil {
			made = keysSQL(first.sql, first.args[0], n)
		}
		sql, _ = texts.LoadOrStore(key, made)
	}
	if out.sql = sql.(string); first.each != nil {
		askers := make([]*asking, n)
		for i, one := range parts {
			askers[i] = one.asker
		}
		out.each = func(s scanner) error { return deal(s.(*row), askers) }
	}
	return out
}

// deal gives a row of keysSQL to who asked for it.
func deal(r *row, askers []*asking) error {
	var n int64
	if err := decode(&n, r.fields[0].DataTypeOID, r.values[0]); err != nil {
		return err
	}
	r.values, r.fields = r.values[1:], r.fields[1:]
	return askers[n].scan(r)
}

// rowsSQL makes a statement with inserts of one row insert n: of row i, counted from 0, parameter $k is $(k + i × args).
func rowsSQL(sql string, n, args int) string {
	return values.ReplaceAllStringFunc(sql, func(row string) string {
		row = strings.TrimPrefix(row, "values ")
		rows := make([]string, n)
		for i := range rows {
			rows[i] = shiftParameters(row, i*args)
		}
		return "values " + strings.Join(rows, ", ")
	})
}

var values = regexp.MustCompile(`values \([^)]*\)`)

// keysSQL makes a read by one key such as key a read by n. Before its other columns each row has the number of its key, counted from 0. The limit keeps Postgres
// from joining tables whole when it takes them to be small: such a plan is kept, and the tables grow.
func keysSQL(sql string, key any, n int) string {
	one, ok := strings.CutSuffix(sql, " = $1")
	if !ok {
		panic("store: no read by a key: " + sql)
	}
	kind := "text"
	if _, ok := key.([]byte); ok {
		kind = "bytea"
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("(%d, $%d::%s)", i, i+1, kind)
	}
	return "select k.n, r.* from (values " + strings.Join(keys, ", ") + ") as k (n, key) cross join lateral (" + one + " = k.key limit 1) as r"
}
