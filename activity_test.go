package membercard_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
)

// TestTheLifeOfAnActivity: one is in effect at a time, replaced as a whole, and terminated for good.
func TestTheLifeOfAnActivity(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := server.Client()
	_, err := client.TerminateActivity(t.Context(), membercard.TerminateActivityRequest{ActivityID: activityID, BrandID: brandID})
	require.NoError(t, err, "a template has one at a time")
	create := table[membercard.OperationCreateActivity].request.(membercard.CreateActivityRequest)
	created, err := client.CreateActivity(t.Context(), create)
	require.NoError(t, err)
	_, err = client.CreateActivity(t.Context(), create)
	require.ErrorIs(t, err, membercard.ErrAlreadyExists, "one is in effect")

	_, err = client.UpdateActivity(t.Context(), membercard.UpdateActivityRequest{
		ActivityID: created.ActivityID, BrandID: brandID, Title: "新活动", SubTitle: create.SubTitle, BeginTime: create.BeginTime, EndTime: create.EndTime,
	})
	require.NoError(t, err)
	read, err := client.GetActivity(t.Context(), membercard.GetActivityRequest{ActivityID: created.ActivityID, BrandID: brandID})
	require.NoError(t, err)
	assert.Equal(t, "新活动", read.Title)

	ended, err := client.TerminateActivity(t.Context(), membercard.TerminateActivityRequest{ActivityID: created.ActivityID, BrandID: brandID})
	require.NoError(t, err)
	assert.Equal(t, membercard.ActivityStateTerminated, ended.ActivityState)
	list, err := client.ListActivities(t.Context(), membercard.ListActivitiesRequest{BrandID: brandID})
	require.NoError(t, err)
	assert.Len(t, list.Data, 2)
}
