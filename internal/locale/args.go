package locale

// Args are the arguments of a text from names and values in turn: Args("Count", 3, "Name", "x"). A name that is no string, and a last name without a value,
// are left out: the text shows then that they are missing.
func Args(pairs ...any) map[string]any {
	out := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, ok := pairs[i].(string); ok {
			out[name] = pairs[i+1]
		}
	}
	return out
}

// ArgsOf are the arguments of a text that are kept as strings.
func ArgsOf(kept map[string]string) map[string]any {
	out := make(map[string]any, len(kept))
	for name, value := range kept {
		out[name] = value
	}
	return out
}
