// The few declarations of Unreal that the plugin uses, so that the syntax and the types of its sources can be checked
// without Unreal. Nothing here is ever linked. Macros for the header tool stand for nothing; the test writes the
// .generated.h files.
#pragma once

#include <cstddef>
#include <cstdint>

typedef std::int8_t int8;
typedef std::int32_t int32;
typedef std::int64_t int64;
typedef std::uint8_t uint8;
typedef std::uint32_t uint32;
typedef std::uint64_t uint64;
typedef wchar_t TCHAR;

#define TEXT(x) L##x
#define UENUM(...)
#define USTRUCT(...)
#define UCLASS(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define GENERATED_BODY()
#define SHOTSTREAMRUNTIME_API
#define PLATFORM_WINDOWS 1

class FString
{
public:
	FString() = default;
	FString(const TCHAR*) {}
	bool IsEmpty() const { return true; }
	const TCHAR* operator*() const { return nullptr; }
};

class FName
{
public:
	FName(const TCHAR*) {}
};

struct FTCHARToUTF8
{
	explicit FTCHARToUTF8(const TCHAR*) {}
	const char* Get() const { return nullptr; }
	int32 Length() const { return 0; }
};

const TCHAR* UTF8_TO_TCHAR(const char*);

template <class T> struct TRemoveReference { typedef T Type; };
template <class T> struct TRemoveReference<T&> { typedef T Type; };
template <class T> typename TRemoveReference<T>::Type&& MoveTemp(T&& Value)
{
	return static_cast<typename TRemoveReference<T>::Type&&>(Value);
}

template <class T> class TArray
{
public:
	TArray() = default;
	TArray(TArray&&) = default;
	int32 Add(const T&) { return 0; }
	T& Add_GetRef(T&& Item) { return Item; }
	void Append(const T*, int32) {}
	int32 Num() const { return 0; }
	T* GetData() { return nullptr; }
	const T* GetData() const { return nullptr; }
};

template <class K, class V> struct TPair
{
	K Key;
	V Value;
};

template <class K, class V> class TMap
{
public:
	const TPair<K, V>* begin() const { return nullptr; }
	const TPair<K, V>* end() const { return nullptr; }
};

template <class> class TFunction;
template <class R, class... A> class TFunction<R(A...)>
{
public:
	TFunction() = default;
	template <class F> TFunction(F Function) { static_cast<void>(static_cast<R (*)(F&, A...)>(&Call<F>)); }
	R operator()(A...) const;

private:
	template <class F> static R Call(F& Function, A... Arguments) { return Function(static_cast<A>(Arguments)...); }
};

class UObject
{
public:
	bool IsTemplate() const { return false; }
	class UWorld* GetWorld() const { return nullptr; }
};

template <class T> class TObjectPtr
{
public:
	TObjectPtr(T* = nullptr) {}
	operator T*() const { return nullptr; }
	T* operator->() const { return nullptr; }
};

template <class T> class TWeakObjectPtr
{
public:
	TWeakObjectPtr() = default;
	TWeakObjectPtr& operator=(T*) { return *this; }
	T* Get() const { return nullptr; }
};

template <class T> T* NewObject() { return nullptr; }

struct FDelegateHandle
{
};

template <class... A> class TDynamicDelegate
{
public:
	void Broadcast(A...) {}
	template <class T> void AddDynamic(T*, void (T::*)(A...)) {}
	template <class T> void RemoveDynamic(T*, void (T::*)(A...)) {}
};

template <class... A> class TDelegate
{
public:
	void Broadcast(A...) {}
	template <class T> FDelegateHandle AddUObject(T*, void (T::*)(A...)) { return {}; }
	bool Remove(FDelegateHandle) { return true; }
};

#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(Name, T1, N1) typedef TDynamicDelegate<T1> Name
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(Name, T1, N1, T2, N2) typedef TDynamicDelegate<T1, T2> Name
#define DECLARE_MULTICAST_DELEGATE_OneParam(Name, T1) typedef TDelegate<T1> Name

struct FMemory
{
	static void* Malloc(std::size_t) { return nullptr; }
	static void Free(void*) {}
};

template <class... A> void StubLog(const TCHAR*, A...) {}
#define DEFINE_LOG_CATEGORY_STATIC(Name, Default, Compiled) struct Name##Category {}
#define UE_LOG(Name, Verbosity, Format, ...) StubLog(Format, ##__VA_ARGS__)

struct TStatId
{
};
