package words

import "strings"

// Agent says in two words which browser a User-Agent is: "Firefox, Windows"; a program by its one plain word; else "–". Whoever sends the
// request chooses the text, so no more of it than that reaches a reader. Many browsers name others, so the order counts.
func Agent(agent string) string {
	find := func(marks ...string) string {
		for i := 0; i < len(marks); i += 2 {
			if strings.Contains(agent, marks[i]) {
				return marks[i+1]
			}
		}
		return ""
	}
	browser := find("Edg", "Edge", "OPR/", "Opera", "SamsungBrowser", "Samsung Internet", "Vivaldi", "Vivaldi", "FxiOS", "Firefox", "Firefox", "Firefox",
		"CriOS", "Chrome", "Chrome", "Chrome", "Safari", "Safari")
	system := find("iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "CrOS", "ChromeOS", "Windows", "Windows", "Mac OS X", "macOS", "Linux", "Linux")
	switch {
	case browser != "" && system != "":
		return browser + ", " + system
	case browser+system != "":
		return browser + system
	}
	name, _, _ := strings.Cut(agent, "/")
	odd := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	}
	if name == "" || len(name) > 24 || strings.ContainsFunc(name, odd) {
		return "–"
	}
	return name
}
