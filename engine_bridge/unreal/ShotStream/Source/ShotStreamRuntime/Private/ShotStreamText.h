#pragma once

#include "CoreMinimal.h"
#include "ShotStreamTypes.h"
#include "shotstream.h"

/** Texts as the C library wants them, as long as this lives. */
class FShotStreamTexts
{
public:
	/** NULL for "". */
	const char* Add(const FString& Text)
	{
		return Text.IsEmpty() ? nullptr : Keep(Text);
	}

	/** With a 0 at its end. */
	const char* Keep(const FString& Text)
	{
		const FTCHARToUTF8 Converted(*Text);
		TArray<char> Bytes;
		Bytes.Append(reinterpret_cast<const char*>(Converted.Get()), Converted.Length());
		Bytes.Add('\0');
		return Texts.Add_GetRef(MoveTemp(Bytes)).GetData(); // the array may move, what it points at stays
	}

	TArray<shs_param> Parameters(const TMap<FString, FShotStreamValue>& Values)
	{
		TArray<shs_param> Result;
		for (const auto& Pair : Values)
		{
			const FShotStreamValue& Value = Pair.Value;
			shs_param Parameter = {};
			Parameter.key = Keep(Pair.Key);
			switch (Value.Type)
			{
			case EShotStreamValueType::Text:
				Parameter.type = SHS_PARAM_STRING;
				Parameter.s = Keep(Value.Text);
				break;
			case EShotStreamValueType::Number:
				Parameter.type = SHS_PARAM_FLOAT;
				Parameter.d = Value.Number;
				break;
			case EShotStreamValueType::WholeNumber:
				Parameter.type = SHS_PARAM_INT;
				Parameter.i = Value.WholeNumber;
				break;
			case EShotStreamValueType::YesNo:
				Parameter.type = SHS_PARAM_BOOL;
				Parameter.i = Value.YesNo ? 1 : 0;
				break;
			}
			Result.Add(Parameter);
		}
		return Result;
	}

private:
	TArray<TArray<char>> Texts;
};
