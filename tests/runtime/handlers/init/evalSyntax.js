new Function('return (');
