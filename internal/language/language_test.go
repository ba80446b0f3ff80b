package language

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChosen(t *testing.T) {
	for _, test := range []struct {
		flag        string
		environment map[string]string
		want        string
	}{
		{"zh", nil, "zh"},
		{"en", map[string]string{"LANG": "zh_CN.UTF-8"}, "en"},
		{"", map[string]string{"LANG": "zh_CN.UTF-8"}, "zh"},
		{"", map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"},
		{"", map[string]string{"LANG": "de_DE.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, "zh"},
		{"", nil, "en"},
	} {
		got, err := Chosen(test.flag, func(name string) string { return test.environment[name] })
		require.NoError(t, err)
		assert.Equal(t, test.want, got, test)
	}
	_, err := Chosen("fr", nil)
	require.ErrorContains(t, err, `not "fr"`)
}

func TestTranslate(t *testing.T) {
	translator := Table{
		{"the proxy % refused the tunnel with %", "代理 %1 拒绝建立隧道，状态码 %2"},
		{"is missing", "缺失"},
		{"(really)", "（确实）"},
	}.Translator()
	assert.Equal(t, "代理 127.0.0.1:1 拒绝建立隧道，状态码 403 Forbidden; x 缺失（确实）",
		translator.Translate("the proxy 127.0.0.1:1 refused the tunnel with 403 Forbidden; x 缺失(really)"))
	assert.Equal(t, "缺失", translator.Translate("is missing"))
	assert.Equal(t, "nothing", translator.Translate("nothing"))
}
