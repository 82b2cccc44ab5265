package api

// Examples are the examples of an operation against the API at base, by the name of a file that holds them.
func (a *API) Examples(id, base string) (map[string]string, error) {
	all, err := a.s.site.byID[id].snippets(base)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, x := range all {
		out[x.File] = x.Text
	}
	return out, nil
}

// SampleMessage is the queue ID in examples.
const SampleMessage = sampleMessage

// ProblemWords are the words of problems that are documented.
func ProblemWords() map[string]bool {
	out := map[string]bool{}
	for _, x := range words {
		out[x.word] = true
	}
	return out
}
