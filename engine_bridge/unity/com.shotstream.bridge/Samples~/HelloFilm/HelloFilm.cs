using Shotstream.Unity;
using UnityEngine;

/// <summary>
/// Put this on a quad, press play, and press space for the next shot. Needs an address asset with the role Director.
/// </summary>
[RequireComponent(typeof(ShotstreamClient), typeof(ShotstreamTexture))]
public sealed class HelloFilm : MonoBehaviour
{
    private static readonly string[] Shots =
    {
        "wide shot: a red fox walks through a snowy forest",
        "close-up: the fox looks up at the stars"
    };

    private ShotstreamClient _client;
    private int _next;

    private void Start()
    {
        _client = GetComponent<ShotstreamClient>();
        _client.Happened += item =>
        {
            if (item.Kind == Shotstream.ConnectionEvent.Connected) Next();
        };
    }

    private void Update()
    {
        if (Input.GetKeyDown(KeyCode.Space)) Next();
    }

    private void Next()
    {
        _client.Cut(Shots[_next++ % Shots.Length]);
    }
}
