#pragma once

#include "CoreMinimal.h"
#include "Kismet/BlueprintAsyncActionBase.h"
#include "ShotStreamTypes.h"

#include "ShotStreamAction.generated.h"

class UShotStreamSubsystem;

DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FShotStreamActionPin, float, LatencyMs, const FString&, Reason);

/** A command as a Blueprint node with pins for what becomes of it. */
UCLASS()
class SHOTSTREAMRUNTIME_API UShotStreamAction : public UBlueprintAsyncActionBase
{
	GENERATED_BODY()

public:
	/** The server took the command. */
	UPROPERTY(BlueprintAssignable)
	FShotStreamActionPin Accepted;

	/** Its first frame is on its way to the screen; LatencyMs is how long that took. */
	UPROPERTY(BlueprintAssignable)
	FShotStreamActionPin OnAir;

	/** It was refused or came to nothing; Reason says why. */
	UPROPERTY(BlueprintAssignable)
	FShotStreamActionPin Failed;

	/** Trigger Beat, and wait for it. */
	UFUNCTION(BlueprintCallable, Category = "ShotStream",
		meta = (BlueprintInternalUseOnly = "true", WorldContext = "WorldContext", AutoCreateRefTerm = "Parameters"))
	static UShotStreamAction* TriggerBeatAndWait(
		UObject* WorldContext, const FString& Beat, const TMap<FString, FShotStreamValue>& Parameters);

	/** Cut, and wait for it. */
	UFUNCTION(BlueprintCallable, Category = "ShotStream",
		meta = (BlueprintInternalUseOnly = "true", WorldContext = "WorldContext"))
	static UShotStreamAction* CutAndWait(UObject* WorldContext, const FString& Text, int64 Seed = -1, int32 Frames = 0,
		EShotStreamWhen When = EShotStreamWhen::Block);

	virtual void Activate() override;

private:
	static UShotStreamAction* Make(UObject* WorldContext, TFunction<int32(UShotStreamSubsystem&)> Command);
	void OnNews(const FShotStreamNews& News);
	void Finish();

	TFunction<int32(UShotStreamSubsystem&)> Send;
	TWeakObjectPtr<UShotStreamSubsystem> Subsystem;
	FDelegateHandle Listening;
	int32 Request = 0;
	bool bAccepted = false;
	bool bOnAir = false;
};
