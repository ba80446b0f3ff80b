package membercard_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatpay-cards/membercard"
)

func TestCells(t *testing.T) {
	t.Parallel()
	for want, cell := range map[string]struct {
		template membercard.CellTemplate
		values   []string
	}{
		"15_8_1200_SUB1":                     {membercard.CellTemplateBuyDiscounted, []string{"8", "1200", "SUB1"}},
		"16_SUB1_30":                         {membercard.CellTemplateBenefitExpires, []string{"SUB1", "30"}},
		"9_1_1234567":                        {membercard.CellTemplatePointsEarned + 8, []string{"1", "1234567"}},
		"there is no documented template -1": {-1, nil},
		"0":                                  {membercard.CellTemplateOpenMembership, nil},
		"has 3 places, not 2":                {membercard.CellTemplateBuyDiscounted, []string{"1200", "1"}},
		"there is no documented template 18": {18, nil},
		"value 2 is empty":                   {membercard.CellTemplatePointsWorthMoney, []string{"1", ""}},
		"value 1 holds one of the characters _ [ ]": {membercard.CellTemplatePointsEarned, []string{"1_2"}},
		"value 1 is the id of a text":               {membercard.CellTemplateBenefitExpires, []string{"12345678", "1"}},
	} {
		got, err := cell.template.Cell(cell.values...)
		if strings.Contains(want, " ") {
			assert.ErrorContains(t, err, want)
			continue
		}
		assert.NoError(t, err, want)
		assert.Equal(t, want, got)
	}
}
