#include "ShotStreamAction.h"

#include "Engine/Engine.h"
#include "Engine/GameInstance.h"
#include "Engine/World.h"
#include "ShotStreamSubsystem.h"

UShotStreamAction* UShotStreamAction::Make(UObject* WorldContext, TFunction<int32(UShotStreamSubsystem&)> Command)
{
	UShotStreamAction* Action = NewObject<UShotStreamAction>();
	Action->Send = MoveTemp(Command);
	const UWorld* World = GEngine->GetWorldFromContextObject(WorldContext, EGetWorldErrorMode::LogAndReturnNull);
	if (UGameInstance* Game = World != nullptr ? World->GetGameInstance() : nullptr)
	{
		Action->Subsystem = Game->GetSubsystem<UShotStreamSubsystem>();
		Action->RegisterWithGameInstance(Game);
	}
	return Action;
}

UShotStreamAction* UShotStreamAction::TriggerBeatAndWait(
	UObject* WorldContext, const FString& Beat, const TMap<FString, FShotStreamValue>& Parameters)
{
	return Make(WorldContext, [Beat, Parameters](UShotStreamSubsystem& Film) { return Film.TriggerBeat(Beat, Parameters); });
}

UShotStreamAction* UShotStreamAction::CutAndWait(
	UObject* WorldContext, const FString& Text, int64 Seed, int32 Frames, EShotStreamWhen When)
{
	return Make(WorldContext,
		[Text, Seed, Frames, When](UShotStreamSubsystem& Film) { return Film.Cut(Text, Seed, Frames, When); });
}

void UShotStreamAction::Activate()
{
	UShotStreamSubsystem* Film = Subsystem.Get();
	Request = Film != nullptr ? Send(*Film) : 0;
	if (Request == 0)
	{
		Failed.Broadcast(-1.0f, Film != nullptr ? Film->GetLastError() : FString(TEXT("there is no game instance")));
		Finish();
		return;
	}
	Listening = Film->OnRequestNews.AddUObject(this, &UShotStreamAction::OnNews);
}

void UShotStreamAction::OnNews(const FShotStreamNews& News)
{
	if (News.Request != Request)
	{
		return;
	}
	if (!News.bAlive)
	{
		Failed.Broadcast(-1.0f, News.Reason);
	}
	else if (!bAccepted)
	{
		bAccepted = true;
		Accepted.Broadcast(-1.0f, FString());
	}
	if (News.bAlive && News.bOnAir && !bOnAir)
	{
		bOnAir = true;
		OnAir.Broadcast(News.LatencyMs, FString());
	}
	if (News.bDone || bOnAir)
	{
		Finish();
	}
}

void UShotStreamAction::Finish()
{
	if (UShotStreamSubsystem* Film = Subsystem.Get())
	{
		Film->OnRequestNews.Remove(Listening);
	}
	SetReadyToDestroy();
}
