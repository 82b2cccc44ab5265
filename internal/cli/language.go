package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/locale"
)

// speaks notes the language of a command that has --lang: errors are told in it.
func (c *command) speaks(cmd *cobra.Command) {
	if f := cmd.Flags().Lookup("lang"); f != nil && knownLanguage(f.Value.String()) == nil {
		c.language = f.Value.String()
	}
}

// inLanguage is an error's text in the language of the command: line by line, as the pairs of locale/twins/cli.fr.yaml and problem.fr.yaml say it. What neither
// says, such as an error of the system that nobody foresaw, stays in English.
func (c *command) inLanguage(text string) string {
	if c.language != locale.French {
		return text
	}
	twin, err := locale.NewTwin("cli", "problem")
	if err != nil {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i], _ = twin.Told(locale.French, line)
	}
	return strings.Join(lines, "\n")
}
