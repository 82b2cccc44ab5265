package portal

import (
	"strings"
	"time"
	_ "time/tzdata" // zones are known on machines without a database of them
)

// zones are offered in forms; any other name of the IANA database may be typed.
var zones = []string{
	"Europe/Paris", "Europe/Brussels", "Europe/Zurich", "Europe/Luxembourg", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Madrid", "Europe/Rome",
	"Europe/Berlin", "Europe/Amsterdam", "Europe/Vienna", "Europe/Warsaw", "Europe/Athens", "Europe/Helsinki", "Europe/Bucharest", "Europe/Istanbul",
	"Africa/Casablanca", "Africa/Algiers", "Africa/Tunis", "Africa/Dakar", "Africa/Abidjan", "Africa/Cairo", "Africa/Johannesburg",
	"America/Montreal", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Martinique", "America/Cayenne", "America/Sao_Paulo",
	"Asia/Beirut", "Asia/Dubai", "Asia/Kolkata", "Asia/Singapore", "Asia/Shanghai", "Asia/Tokyo", "Indian/Reunion", "Australia/Sydney", "Pacific/Noumea", "Pacific/Tahiti", "UTC",
}

// zoneName returns the name of a zone as it was typed, without spaces around it; ok is false when there is none of that name. Empty is the gateway's own.
func zoneName(s string) (name string, ok bool) {
	name = strings.ReplaceAll(strings.TrimSpace(s), " ", "_")
	if name == "" {
		return "", true
	}
	if len(name) > 64 || name == "Local" {
		return name, false
	}
	_, err := time.LoadLocation(name)
	return name, err == nil
}
