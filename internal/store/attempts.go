package store

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TakeAttempt counts one try on lane and reports whether it is still within limit. The count begins anew window after its
// first try, or, with strict, after its last: then no span of window ever has more than limit. It decides by one
// conditional write: tries over the limit do not count.
func (t *Tx) TakeAttempt(lane string, limit int, window time.Duration, strict bool) (bool, error) {
	keep := int64(1)
	if strict {
		keep = 0
	}
	var n int64
	err := t.row([]any{&n}, `insert into attempts (lane, n, since, until) values ($1, 1, $2, $6)
on conflict (lane) do update set
  n = case when attempts.since <= $3 then 1 else attempts.n + 1 end,
  since = case when attempts.since > $3 and $5 = 1 then attempts.since else $2 end,
  until = $6
where attempts.since <= $3 or attempts.n < $4
returning n`, lane, micros(t.now), micros(t.now.Add(-window)), int64(limit), keep, micros(t.now.Add(window)))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// TakeAttempts counts cost tries at once on lane, which must have room for them within limit (ErrConflict); the count begins anew window after its
// first try. It needs no trip of its own.
func (t *Tx) TakeAttempts(lane string, cost, limit int, window time.Duration) {
	t.must(`insert into attempts (lane, n, since, until) values ($1, $5, $2, $6)
on conflict (lane) do update set
  n = case when attempts.since <= $3 then $5 else attempts.n + $5 end,
  since = case when attempts.since <= $3 then $2 else attempts.since end,
  until = $6
where attempts.since <= $3 or attempts.n + $5 <= $4`, lane, micros(t.now), micros(t.now.Add(-window)), int64(limit), int64(cost), micros(t.now.Add(window)))
}

// HoldCount gives how many wrong answers lane counts and when the last was, and makes rivals wait until the unit is over: what they
// then read is what it wrote.
func (t *Tx) HoldCount(lane string) (n int, last time.Time, err error) {
	var count, since int64
	err = t.row([]any{&count, &since}, holdLane+" returning n, since", lane, micros(t.now))
	return int(count), instant(since), err
}

// HoldLane is HoldCount for who does not ask how many: it needs no trip of its own.
func (t *Tx) HoldLane(lane string) { t.do(holdLane, lane, micros(t.now)) }

const holdLane = `insert into attempts (lane, n, since, until) values ($1, 0, $2, $2)
on conflict (lane) do update set n = attempts.n`

// Counted is what a lane counts.
type Counted struct {
	N     int
	Since time.Time
}

// Counts reads what lanes count, in their order.
func (t *Tx) Counts(lanes []string) ([]Counted, error) {
	out := make([]Counted, len(lanes))
	if len(lanes) == 0 {
		return out, nil
	}
	args := make([]any, len(lanes))
	for i, l := range lanes {
		args[i] = l
	}
	err := t.rows(func(s scanner) error {
		var lane string
		var n, since int64
		err := s.Scan(&lane, &n, &since)
		if i := slices.Index(lanes, lane); i >= 0 {
			out[i] = Counted{int(n), instant(since)}
		}
		return err
	}, "select lane, n, since from attempts where lane in ("+placeholders(1, len(lanes))+")", args...)
	return out, err
}

// SetCount writes what a lane that is held counts now, to be kept for a time.
func (t *Tx) SetCount(lane string, n int, keep time.Duration) {
	t.do("update attempts set n = $2, since = $3, until = $4 where lane = $1", lane, int64(n), micros(t.now), micros(t.now.Add(keep)))
}

// GiveBackAttempt takes back one try that turned out right.
func (t *Tx) GiveBackAttempt(lane string) {
	t.do("update attempts set n = n - 1 where lane = $1 and n > 0", lane)
}

// ClearAttempts forgets a lane.
func (t *Tx) ClearAttempts(lane string) { t.do("delete from attempts where lane = $1", lane) }

// ClearLanes forgets every lane whose name begins with prefix.
func (t *Tx) ClearLanes(prefix string) {
	t.do("delete from attempts where substr(lane, 1, $2) = $1", prefix, int64(len(prefix)))
}

// rollingHours is how many hours a rolling count looks back on: 24, and the one under way.
const rollingHours = 25

// TakeRolling counts one try on lane and reports whether no span of 24 hours has more than limit with it; a try over the limit does not
// count. It keeps a count for each hour and adds up the last 25, so it errs to the strict side by up to an hour. bucket is what
// GiveBackAttempt takes it back from.
func (t *Tx) TakeRolling(lane string, limit int) (bucket string, within bool, err error) {
	hours := t.rollingHours(lane)
	// The lane's own row makes rivals wait, also those of the next hour: what they then add up is all that was counted.
	t.do(`insert into attempts (lane, n, since, until) values ($1, 0, $2, $3) on conflict (lane) do update set until = $3`,
		lane, micros(t.now), micros(t.now.Add(rollingHours*time.Hour)))
	args := []any{hours[0], micros(t.now), micros(t.now.Add(rollingHours * time.Hour)), int64(limit)}
	for _, h := range hours {
		args = append(args, h)
	}
	total := "(select cast(coalesce(sum(a.n), 0) as bigint) from attempts a where a.lane in (" + placeholders(5, len(hours)) + "))"
	var n int64
	err = t.row([]any{&n}, `insert into attempts (lane, n, since, until) select $1, 1, cast($2 as bigint), cast($3 as bigint) where `+total+` < cast($4 as bigint)
on conflict (lane) do update set n = attempts.n + 1 where `+total+` < cast($4 as bigint) returning n`, args...)
	if err == ErrNotFound {
		return "", false, nil
	}
	return hours[0], err == nil, err
}

// Rolling adds up what lane counted in the last 24 hours, and in up to one before them.
func (t *Tx) Rolling(lane string) (int, error) {
	hours := t.rollingHours(lane)
	args := make([]any, len(hours))
	for i, h := range hours {
		args[i] = h
	}
	var n int64
	err := t.row([]any{&n}, "select cast(coalesce(sum(n), 0) as bigint) from attempts where lane in ("+placeholders(1, len(hours))+")", args...)
	return int(n), err
}

// rollingHours names the counts of the last hours, the present one first.
func (t *Tx) rollingHours(lane string) []string {
	names := make([]string, rollingHours)
	for i := range names {
		names[i] = fmt.Sprintf("%s@%d", lane, t.now.Unix()/3600-int64(i))
	}
	return names
}

// placeholders is "$from, …" for n arguments.
func placeholders(from, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(out, ", ")
}
