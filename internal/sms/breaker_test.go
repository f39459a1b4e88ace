package sms

import (
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	// A script: f and s are a failure and a success, a asks to come in; what each says is + or -. A number waits so many
	// seconds, a negative one sets the clock back.
	for _, tt := range []struct {
		name   string
		script []any
		want   string
	}{
		{"five failures open", []any{"a", "f", "f", "f", "f", "a", "f", "a"}, "+----++-"},
		{"just within 30 s", []any{"f", 7, "f", 7, "f", 8, "f", 8, "f"}, "----+"},
		{"just not within", []any{"f", 7, "f", 8, "f", 8, "f", 8, "f", "f"}, "-----+"},
		{"a success forgets", []any{"f", "f", "f", "f", "s", "f", "f", "f", "f", "f"}, "---------+"},
		{"one try each 30 s", []any{"f", "f", "f", "f", "f", 29, "a", 1, "a", "a", 29, "a", 1, "a"}, "----+-+--+"},
		{"a failed try leaves it open", []any{"f", "f", "f", "f", "f", 30, "a", "f", "a", 30, "a"}, "----++--+"},
		{"a success closes", []any{"f", "f", "f", "f", "f", 30, "a", "s", "a", "a"}, "----+++++"},
		{"a late success closes too", []any{"f", "f", "f", "f", "f", "s", "a"}, "----+++"},
		{"a try given back", []any{"f", "f", "f", "f", "f", 30, "a", "u", "a", "a"}, "----+++-"},
		{"a clock set back", []any{"f", "f", "f", "f", "f", -3600, "a", "a", 30, "a"}, "----++-+"},
	} {
		var b breaker
		now := time.Date(2026, 3, 29, 1, 59, 0, 0, time.UTC)
		got := ""
		for _, step := range tt.script {
			said := false
			switch step {
			case "f":
				said = b.failure(now)
			case "s":
				said = b.success()
			case "a":
				said, _ = b.admit(now)
			case "u":
				b.untried()
				continue
			default:
				now = now.Add(time.Duration(step.(int)) * time.Second)
				continue
			}
			got += map[bool]string{true: "+", false: "-"}[said]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
