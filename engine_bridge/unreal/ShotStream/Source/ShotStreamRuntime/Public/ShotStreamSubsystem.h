#pragma once

#include "CoreMinimal.h"
#include "ShotStreamTypes.h"
#include "Subsystems/GameInstanceSubsystem.h"
#include "Tickable.h"

#include "ShotStreamSubsystem.generated.h"

class UTexture2D;
struct shs_client;
struct shs_event;
struct shs_param;

DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FShotStreamConnectionChanged, bool, bConnected, const FString&, Reason);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FShotStreamShotStarted, int32, Shot, int64, Frame);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FShotStreamFrameShown, int64, Frame, int32, Shot);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FShotStreamTextureChanged, UTexture2D*, Texture);
DECLARE_MULTICAST_DELEGATE_OneParam(FShotStreamRequestNews, const FShotStreamNews&);

/**
 * The connection of a game to one server. It polls once a tick on the game thread, keeps the newest picture in a texture,
 * and comes back by itself after an outage; the last picture stays meanwhile.
 *
 * Commands return the number of the request, or 0 when it could not be sent; OnRequestNews tells what becomes of it.
 */
UCLASS()
class SHOTSTREAMRUNTIME_API UShotStreamSubsystem : public UGameInstanceSubsystem, public FTickableGameObject
{
	GENERATED_BODY()

public:
	/** Begins to connect; OnConnectionChanged follows. False when the options cannot work: see GetLastError. */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	bool Connect(const FShotStreamOptions& Options);

	/** Leaves the server; takes at most half a second. The last picture stays. */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	void Disconnect();

	UFUNCTION(BlueprintPure, Category = "ShotStream")
	bool IsConnected() const;

	/** The latest error in a sentence; "" for none. */
	UFUNCTION(BlueprintPure, Category = "ShotStream")
	FString GetLastError() const;

	/** The newest picture, BGRA, sRGB; null before the first one. Another object when the film's size changes. */
	UFUNCTION(BlueprintPure, Category = "ShotStream")
	UTexture2D* GetTexture() const { return Texture; }

	/** A named event of the story (role Trigger). */
	UFUNCTION(BlueprintCallable, Category = "ShotStream", meta = (AutoCreateRefTerm = "Parameters"))
	int32 TriggerBeat(const FString& Beat, const TMap<FString, FShotStreamValue>& Parameters);

	/** Variables of the story, all or none, at most 64 (role Trigger). */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	int32 SetVariables(const TMap<FString, FShotStreamValue>& Variables);

	/** A new shot (role Director). Seed -1 and 0 frames are left to the server. */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	int32 Cut(const FString& Text, int64 Seed = -1, int32 Frames = 0, EShotStreamWhen When = EShotStreamWhen::Block);

	/** Other words for the shot on screen (role Director). */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	int32 Prompt(const FString& Text);

	/** Stops making frames at the next block boundary, or goes on (role Operator). */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	int32 Hold(bool bHeld = true);

	/** Keeps the film as it stands (role Trigger). Names have letters, digits, _ and -. */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	int32 Checkpoint(const FString& Name);

	/** Goes back to a checkpoint (role Trigger). */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	int32 Restore(const FString& Name);

	/** Shows the next frame with a number of at least MinFrame, when it is there. Returns its number, or -1. */
	UFUNCTION(BlueprintCallable, Category = "ShotStream")
	int64 ShowFrame(int64 MinFrame = 0);

	UPROPERTY(BlueprintAssignable, Category = "ShotStream")
	FShotStreamConnectionChanged OnConnectionChanged;

	UPROPERTY(BlueprintAssignable, Category = "ShotStream")
	FShotStreamShotStarted OnShotStarted;

	UPROPERTY(BlueprintAssignable, Category = "ShotStream")
	FShotStreamFrameShown OnFrame;

	UPROPERTY(BlueprintAssignable, Category = "ShotStream")
	FShotStreamTextureChanged OnTextureChanged;

	FShotStreamRequestNews OnRequestNews;

	virtual void Deinitialize() override;

	virtual void Tick(float DeltaTime) override;
	virtual ETickableTickType GetTickableTickType() const override;
	virtual bool IsTickable() const override { return Client != nullptr; }
	virtual bool IsTickableWhenPaused() const override { return true; }
	virtual TStatId GetStatId() const override;

private:
	void Tell(const shs_event& Event);
	int32 Sent(int32 Result, uint32 Request);

	UPROPERTY(Transient)
	TObjectPtr<UTexture2D> Texture = nullptr;

	shs_client* Client = nullptr;
	bool bShowFramesByItself = true;
};
