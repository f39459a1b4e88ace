package servertest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Thrice fails the test with what measure says if it says so three times in a row: a defect shows each time, what else a busy machine does
// does not. It waits before it tries again, so that one bad moment is not measured three times. Nothing else may be decided by it: measure says nil
// as soon as the figures are right once.
func Thrice(t testing.TB, measure func() error) {
	t.Helper()
	var err error
	for _, pause := range []time.Duration{0, 3 * time.Second, 10 * time.Second} {
		time.Sleep(pause)
		if err = measure(); err == nil {
			return
		}
		t.Log("measured:", err)
	}
	t.Error(err)
}

// Alike says nil if the median of the differences between one and other, which were taken in pairs of neighbours in time, is at most 5 ms, the
// bound of EN-02, or the share-th part of what other takes where all is slower.
func Alike(what string, one, other []time.Duration, share time.Duration) error {
	diffs := make([]time.Duration, len(one))
	for i := range diffs {
		diffs[i] = one[i] - other[i]
	}
	apart, whole := Median(diffs), Median(other)
	if apart.Abs() > max(5*time.Millisecond, whole/share) {
		return fmt.Errorf("EN-02: %s: the median of the differences is %v, at a median of %v", what, apart, whole)
	}
	return nil
}

// Median of durations, which stay as they are.
func Median(took []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(took))[len(took)/2]
}
